"""Tables as Markdown, and beside them the figures as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from interleaved import PLAIN, Figures

HEADINGS = ("step", "variant", "self time", "once", "wall", "A/A", "CPU")


def markdown(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines)


def percent(share: float | None) -> str:
    """A share for the eye; – where there is nothing to divide by."""
    return "–" if share is None else f"{100 * share:.1f} %"


def comparison(training: str, figures: Sequence[Figures]) -> list[list[str]]:
    """The rows of one training, its name first; A/A is the middle half of the ratios of plain to plain."""
    aa = next(one for one in figures if one.variant == PLAIN)
    return [
        [
            training,
            f"{one.step_ms:.3g} ms",
            one.variant,
            "–" if one is aa else f"{one.self_percent:.2f} %",
            "–" if one is aa else f"{one.once_ms:.0f} ms",
            f"{one.wall_ratio:.3f}",
            "{:.3f}–{:.3f}".format(*aa.wall_quartiles),
            f"{one.cpu_ratio:.3f}",
        ]
        for one in figures
    ]


def machine() -> str:
    """What the figures depend on beside the code."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, {device}."


def write(directory: Path, name: str, table: str, records: Any) -> None:
    """Write `name`.md and `name`.json; dataclasses among the records become mappings."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.md").write_text(table + "\n")
    (directory / f"{name}.json").write_text(json.dumps(records, indent=2, default=asdict) + "\n")
