"""Names from strangers in every report: shown as they are, obeyed by no terminal, browser or renderer."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from rich.console import Console

import diagnose
from diagnose.logs.writing import EventFile
from diagnose.reports.text import as_text, print_report

NASTY = [
    "[red]markup[/]", "[/]", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\x1b[31mred\x07",
    "\u202egnp", "${7*7}{{7*7}}", "</script><script>alert(1)//", "a\nb\rc", "\x9b2J",
]  # fmt: skip


@pytest.fixture(params=NASTY)
def told(request, tmp_path):
    """The diagnosis of a run with such a name, tag, setting and own name for a signal."""
    nasty = request.param
    folder = tmp_path / f"run {nasty}".replace("/", "_")
    with EventFile(folder) as file:
        for step in range(100):
            loss = float("nan") if step > 80 else 1 / (step + 1)
            file.write_step(step, 1.7e9 + step, [("loss/train", loss), (nasty, 1.0), ("lr " + nasty, 0.1)], {})
            file.write_step(step, 1.7e9 + step, [], {nasty: np.ones(3)})
    (folder / "hparams.json").write_text(json.dumps({nasty: nasty, "model": [nasty, {nasty: nasty}]}))
    (folder / "diagnose.toml").write_text(f"[names]\n{json.dumps('lr ' + nasty)} = {json.dumps('lr' + nasty)}\n")
    return diagnose.examine(folder)


def obeyed(text):
    return [character for character in text if not character.isprintable() and character != "\n"]


def test_a_terminal_obeys_nothing(told):
    buffer = io.StringIO()
    print_report(told, Console(file=buffer, width=10_000, color_system=None, force_terminal=False))
    assert not obeyed(buffer.getvalue()) and not obeyed(as_text(told))
    assert not obeyed(told.to_json()) and not obeyed(told.to_markdown())
    assert diagnose.findings.Severity.CRITICAL is told.worst
    if "[red]markup" in told.run.path:
        assert "run [red]markup[_]" in buffer.getvalue()


def test_a_browser_obeys_nothing(told):
    page = told.to_html()
    ours = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # the plotting library and our own
    assert page.count("<script>") == ours.count("<script>") + 2 and "<script>" not in ours
    for text in (ours, told._repr_html_()):
        assert "<img" not in text and "<script>alert" not in text and 'onerror="' not in text
        assert not [character for character in obeyed(text) if character != "\t"]
