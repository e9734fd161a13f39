"""The report in the terminal and as Markdown: what a reader sees, and that nothing from the log is obeyed."""

from __future__ import annotations

import re

import pytest

import diagnose
from diagnose.reports.text import as_text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(demo_runs, width):
    for run in demo_runs.values():
        text = as_text(diagnose.examine(run), width)
        assert max(map(len, text.splitlines())) <= width
        assert not any(line != line.rstrip() for line in text.splitlines())


def test_a_healthy_report_is_short_and_says_to_change_nothing(demo_runs):
    text = as_text(diagnose.examine(demo_runs["healthy"]), 200)
    assert re.search(r"training loss fell from 2\.\d+ to 0\.0\d+ over 615 steps. Nothing has to change", text)
    assert len(text.splitlines()) < 15


def test_an_ill_report_says_what_why_and_what_to_do(demo_runs):
    text = as_text(diagnose.examine(demo_runs["diverging"]), 200)
    for part in (
        "✖ Critical",
        "Divergence",
        "Learning rate too high",
        "lr  8 → 0.03",
        "warmup_steps  0 → ",
        "K01",
        "Watch:",
    ):
        assert part in text
    assert text.index("lr  8 → 0.03") < text.index("└ with it: Warm the learning rate up")


def test_a_foreign_log_is_told_what_its_missing_signals_would_have_told(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        for step in range(50):
            writer.add_scalar("train_loss", 1 / (step + 1), step)
    text = as_text(diagnose.examine(tmp_path), 200)
    assert "Not logged, and what it would have told" in text
    assert "loss/validation: whether the model overfits" in text
    assert len(as_text(diagnose.examine(tmp_path), 100).splitlines()) < 15


def test_markup_in_the_log_is_printed_and_not_obeyed(hostile):
    text = as_text(hostile, 400)
    assert "run[bold]&<b>" in text and "onerror=window.hacked=1>[red]" in text


def test_no_control_character_from_the_log_reaches_a_terminal(hostile):
    for text in (as_text(hostile), hostile.to_markdown(), hostile.to_json()):
        assert all(c.isprintable() or c == "\n" for c in text)


def test_markdown_from_the_log_is_shown_and_not_obeyed(hostile):
    text = hostile.to_markdown()
    assert "<img" not in text and "<b>" not in text
    assert "\\[red\\]\\|\\`\\*\\_" in text


def test_markdown_tables_have_as_many_cells_in_every_row(demo_runs, hostile):
    for diagnosis in (hostile, diagnose.examine(demo_runs["diverging"])):
        rows = [line for line in diagnosis.to_markdown().splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


def test_no_change_is_left_out_however_it_is_coupled(chained):
    for text in (as_text(chained), chained.to_markdown(), chained.to_html(), chained._repr_html_()):
        places = [text.index(f"Title of {name}") for name in ("first", "second", "third", "fourth")]
        assert places == sorted(places)
    lines = as_text(chained).splitlines()
    assert [line.split()[0] for line in lines if "Title of" in line] == ["1.", "└", "└", "2."]


def test_an_ill_run_without_changes_is_not_told_to_keep_its_settings(waiting):
    for text in (as_text(waiting), waiting.to_markdown(), waiting.to_html(), waiting._repr_html_()):
        assert "Keep these settings" not in text
        assert "Later, once stability is reached: Average the weights" in text.replace("later", "Later")
    assert "does not tell enough to name a change" in as_text(waiting)


def test_of_many_layers_the_first_are_named_and_the_others_counted(ill):
    text = as_text(ill(layers=tuple(f"block{n}" for n in range(1500))), 200)
    assert "block0, block1" in text and "block11 and 1,488 more" in text
