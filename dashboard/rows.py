"""A run as one row of the table: plain values to sort by, texts to show."""

from __future__ import annotations

from typing import Any, Final

from diagnose.dashboard.addresses import run_address
from diagnose.dashboard.health import WORST_FIRST, health
from diagnose.dashboard.plan import in_words
from diagnose.dashboard.store import Entry

Row = dict[str, Any]

_OWN: Final = frozenset({"pace_s", "pause_s", "ended", "marks_its_end", "planned"})  # of a summary, not of its row


def row_of(entry: Entry) -> Row:
    """The row of one run; what is not known of it is not in it."""
    word = health(entry)
    row: Row = {
        "name": entry.name,
        "href": run_address(entry.name),
        "health": word,
        "rank": WORST_FIRST.index(word),
        "activity": entry.activity,
        "written": round(entry.last_write_s),
        "finding": entry.problem,
    }
    if entry.summary is None or entry.problem:
        return row
    told = {field: value for field, value in entry.summary.items() if field not in _OWN and value not in (None, "")}
    return row | {"finding": ""} | told | _progress(entry)


def _progress(entry: Entry) -> Row:
    """How far the run has come, and what is left of one that still runs, as far as its settings tell."""
    told = entry.summary or {}
    steps, planned, share, pace_s = told["steps"], told["planned"], told["progress"], told["pace_s"]
    if not planned:
        return {"progress_text": f"{steps:,} steps"}
    progress: Row = {"progress": round(share, 4), "progress_text": f"step {steps:,} of {planned:,}"}
    if entry.activity == "live" and pace_s:
        left_s = (planned - steps) * pace_s
        progress |= {"left_s": round(left_s), "left_s_text": in_words(left_s), "left": f"{in_words(left_s)} left"}
    return progress
