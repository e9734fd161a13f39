"""A run's health in one word, and its rank in the table: the worst stands first."""

from __future__ import annotations

from typing import Final, Literal

from diagnose.dashboard.store import Entry
from diagnose.findings import Finding, Severity

Health = Literal["critical", "warning", "unreadable", "reading", "healthy"]

WORST_FIRST: Final[tuple[Health, ...]] = ("critical", "warning", "unreadable", "reading", "healthy")


def health(entry: Entry) -> Health:
    """The word for a run: its worst finding's severity, or why it has none."""
    if entry.problem:
        return "unreadable"
    if entry.diagnosis is None:
        return "reading"
    if entry.diagnosis.healthy:
        return "healthy"
    return "critical" if entry.diagnosis.worst is Severity.CRITICAL else "warning"


def rank(entry: Entry) -> int:
    """0 for the worst health."""
    return WORST_FIRST.index(health(entry))


def worst_finding(entry: Entry) -> Finding | None:
    """The finding that decides the run's health, None for a healthy run."""
    if entry.diagnosis is None or entry.diagnosis.healthy:
        return None
    return entry.diagnosis.findings[0]
