"""A run in MLflow's file store: a file for each metric, with lines of time, value and step, one for each parameter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any, Final

from diagnose.logs.columns import EventData
from diagnose.logs.links import leads_out, notes_on
from diagnose.logs.plain import plain
from diagnose.logs.printable import printable

LARGEST: Final = 500_000_000  # bytes of one metric's file: it is read whole
LONGEST: Final = 100_000  # bytes of a parameter: MLflow itself keeps no more than 6,000 characters
LAST_STEP: Final = 2**63 - 1


def is_mlflow(folder: Path) -> bool:
    """Whether the folder is a run of MLflow's file store."""
    return (folder / "meta.yaml").is_file() and (folder / "metrics").is_dir()


def read_mlflow(run: Path) -> EventData:
    """Its metrics and parameters; lines that cannot be read and files outside of the run are left out, with a note."""
    data = EventData()
    for name, path in _files(run, run / "metrics", LARGEST, data.notes):
        _read_metric(data, name, path.read_text(encoding="utf-8", errors="replace"))
    for name, path in _files(run, run / "params", LONGEST, data.notes):
        data.config[name] = _spelled(path.read_text(encoding="utf-8", errors="replace").strip())
    return data


def _files(run: Path, folder: Path, largest: int, notes: list[str]) -> Iterator[tuple[str, Path]]:
    """The files below the folder, by their names in it."""
    if leads_out(folder, run):
        notes.extend(notes_on([folder], run))
        return
    for path in sorted(folder.rglob("*")):
        name = printable(str(path.relative_to(folder)))
        if leads_out(path, run):
            notes.append(f"{folder.name}/{name} was left out: it leads out of the run's folder.")
        elif path.is_file():
            if path.stat().st_size > largest:
                notes.append(f"{folder.name}/{name} was left out: it is larger than {largest:,} bytes.")
            else:
                yield name, path


def _read_metric(data: EventData, name: str, text: str) -> None:
    lines = [line for line in text.splitlines() if line.strip()]
    rows = [row for row in map(_row, lines) if row is not None]
    if rows:
        steps, wall_times, values = zip(*rows, strict=True)
        data.scalar(name).extend(steps, wall_times, values)
        data.events += len(rows)
    if len(rows) < len(lines):
        data.notes.append(f"metrics/{name}: {len(lines) - len(rows):,} line(s) that cannot be read were left out.")


def _row(line: str) -> tuple[int, float, float] | None:
    """Step, time in seconds and value of a line “milliseconds value step”, None where it is something else."""
    try:
        milliseconds, value, step = line.split()
        told = int(step), float(milliseconds) / 1e3, float(value)
    except ValueError:
        return None
    return told if abs(told[0]) <= LAST_STEP and isfinite(told[1]) else None


def _spelled(text: str) -> Any:
    """A parameter, kept as text, as the number that it spells."""
    try:
        told: object = json.loads(text.replace("True", "true").replace("False", "false"))
    except (ValueError, RecursionError):
        told = text
    return plain(told) if isinstance(told, int | float) else printable(text)
