"""The differential diagnosis as a table: what each finding weighs for or against the likeliest causes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from diagnose.diagnosis import Cause
from diagnose.reports.numbers import percent

SIDE_BY_SIDE = 4  # causes: more do not fit beside one another
FIRST, SUM, SHARE = "before any finding", "sum", "share"


class Weighing(NamedTuple):
    """`columns` are the causes' titles; each row has a name and a cell for each of them, empty where nothing weighs."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def weighing(causes: Sequence[Cause]) -> Weighing:
    """The likeliest causes beside one another: prior and evidence in log-odds, their sum, and the share it gives.

    Findings come in the order of how much they tell these causes apart.
    """
    shown = causes[:SIDE_BY_SIDE]
    weights = {name: tuple(_weight(cause, name) for cause in shown) for name in _findings(shown)}
    order = sorted(weights, key=lambda name: min(weights[name]) - max(weights[name]))
    rows = [
        (FIRST, tuple(_signed(cause.prior) for cause in shown)),
        *((name.replace("_", " "), tuple(_signed(weight) for weight in weights[name])) for name in order),
        (SUM, tuple(_signed(cause.prior + sum(line.log_odds for line in cause.evidence)) for cause in shown)),
        (SHARE, tuple(percent(cause.probability) for cause in shown)),
    ]
    return Weighing(tuple(cause.title for cause in shown), tuple(rows))


def _findings(causes: Sequence[Cause]) -> list[str]:
    return list(dict.fromkeys(line.finding for cause in causes for line in cause.evidence))


def _weight(cause: Cause, finding: str) -> float:
    return sum(line.log_odds for line in cause.evidence if line.finding == finding)


def _signed(weight: float) -> str:
    return f"{weight:+.1f}".replace("-", "−") if abs(weight) >= 0.05 else ""
