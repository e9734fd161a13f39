"""A run's health in one word."""

from __future__ import annotations

from typing import Final, Literal, cast

from diagnose.dashboard.store import Entry

Health = Literal["critical", "warning", "unreadable", "reading", "healthy"]

WORST_FIRST: Final[tuple[Health, ...]] = ("critical", "warning", "unreadable", "reading", "healthy")


def health(entry: Entry) -> Health:
    """The word for a run: its worst finding's severity, or why it has none."""
    if entry.problem:
        return "unreadable"
    return "reading" if entry.summary is None else cast("Health", entry.summary["health"])
