"""A run as one row of the table: plain values to sort by, texts to show."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from diagnose.curves import reduced
from diagnose.dashboard.addresses import run_address
from diagnose.dashboard.health import health, rank, worst_finding
from diagnose.dashboard.store import Entry
from diagnose.diagnosis import Change, Diagnosis
from diagnose.reports.numbers import shown
from diagnose.reports.titles import title_of
from diagnose.run import Series
from diagnose.signals import LR, TRAIN_LOSS, VALIDATION_LOSS

SPARK_POINTS: Final = 48  # of the loss curve in a cell 110 pixels wide
Row = dict[str, Any]


def rows(entries: list[Entry]) -> list[Row]:
    """One row per run, the worst first; among equals those that still run, then by name."""
    return [_row(entry) for entry in sorted(entries, key=_worst_first)]


def _worst_first(entry: Entry) -> tuple[int, float, bool, str]:
    worst = worst_finding(entry)
    return (rank(entry), -worst.confidence if worst else 0.0, entry.activity == "finished", entry.name)


def _row(entry: Entry) -> Row:
    row: Row = {
        "name": entry.name,
        "href": run_address(entry.name),
        "health": health(entry),
        "order": f"{rank(entry)} {health(entry)}",  # sorts by rank, and the filter finds the word
        "activity": entry.activity,
        "finding": entry.problem,
    }
    return row | _told_by(entry) if entry.diagnosis else row


def _told_by(entry: Entry) -> Row:
    diagnosis, worst = entry.diagnosis, worst_finding(entry)
    assert diagnosis is not None
    setup = diagnosis.run.setup
    changes = diagnosis.prescription.changes
    return {
        "finding": title_of(worst) if worst else "",
        "summary": worst.summary if worst else "",
        "change": change_in_short(changes[0]) if changes else "",
        "more": len(changes) - 1 if changes else 0,
        "spark": _spark(diagnosis),
        "steps": diagnosis.run.steps,
        "steps_text": f"{diagnosis.run.steps:,}",
        **_valued("train", _last(diagnosis, TRAIN_LOSS)),
        **_valued("validation", _last(diagnosis, VALIDATION_LOSS)),
        **_valued("lr", setup.optimizer_setting("lr") or _first(diagnosis, LR)),
        **_valued("batch", whole(setup.config_number("batch_size"))),
        "optimizer": str(setup.optimizer.get("type", "")),
    }


def change_in_short(change: Change) -> str:
    """`lr 0.4 → 0.1`, or the remedy's title where there are no numbers."""
    if change.after is None:
        return change.title
    before = "" if change.before is None else f"{shown(change.before)} → "
    return f"{change.setting} {before or '→ '}{shown(change.after)}"


def whole(value: float | None) -> float | None:
    """A whole number as such, so that all its digits are shown."""
    return int(value) if value is not None and value.is_integer() else value


def _valued(field: str, value: float | None) -> Row:
    """The value to sort by and its text; a value that is no number sorts as missing but is shown."""
    if value is None:
        return {}
    return {field: value if np.isfinite(value) else None, f"{field}_text": shown(value)}


def _last(diagnosis: Diagnosis, signal: str) -> float | None:
    series = diagnosis.run.scalar(signal)
    return None if series is None else float(series.values[-1])


def _first(diagnosis: Diagnosis, signal: str) -> float | None:
    series = diagnosis.run.scalar(signal)
    return None if series is None else float(series.values[0])


def _spark(diagnosis: Diagnosis) -> list[list[float]]:
    """The loss curve in a unit square: x the share of the run, y the share of the loss's range, 1 at the top."""
    series = diagnosis.run.scalar(TRAIN_LOSS) or diagnosis.run.scalar(VALIDATION_LOSS)
    if series is None or len(series.finite) < 2:
        return []
    return _in_unit_square(series)


def _in_unit_square(series: Series) -> list[list[float]]:
    curve = reduced(series, SPARK_POINTS)
    # Losses that explode would flatten everything before; a logarithm keeps both readable.
    values = np.log(curve.values) if (curve.values > 0).all() else curve.values
    low, high = values.min(), values.max()
    heights = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
    shares = (curve.steps - curve.steps[0]) / max(1, curve.steps[-1] - curve.steps[0])
    return [[round(float(x), 3), round(float(y), 3)] for x, y in zip(shares, heights, strict=True)]
