"""The live store: the dashboard's only state. It examines runs, and again when their files have changed.

Nothing happens unless a page asks. Each look at all runs has a budget of time, so that a folder of a
hundred large runs opens at once and fills in; what the budget did not reach is read at the next look.

Of every run a summary is kept, a few hundred bytes, and remembered from one start to the next. Curves and
diagnoses are kept only of the runs used last.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Final

from diagnose.dashboard import kept
from diagnose.dashboard.activity import Activity, activity
from diagnose.dashboard.changes import Changes, Ledger
from diagnose.dashboard.examined import Examined, LastUsed
from diagnose.dashboard.places import FileIdentity, Place, Places
from diagnose.dashboard.summary import Summary, summary_of
from diagnose.diagnosis import Diagnosis
from diagnose.errors import NoRunError

LOOK_BUDGET_S: Final = 1.0  # reading time of one look at all runs: under the pages' refresh of two seconds
FIRST_LOOK_S: Final = 2.0  # what a page waits for a run that another one is having read; then it asks again
LISTING_S: Final = 1.0  # how long a listing of the folder stays good: several open pages share one
LISTING_SHARE: Final = 0.1  # of the time, at most, goes into listing: a slow one stays good for longer


@dataclass(frozen=True)
class Entry:
    """One run as the pages show it: with a summary, with a problem, or with neither while still unread.

    Its diagnosis is there where the run itself was asked for, and `version` is another one for each.
    """

    name: str
    path: str
    activity: Activity
    last_write_s: float
    diagnosis: Diagnosis | None = None
    problem: str = ""
    summary: Summary | None = None
    version: str = ""


@dataclass
class _Case:
    """What the last examination of one run gave, and the files it was given from."""

    place: Place | None = None
    examined_s: float = 0.0
    summary: Summary | None = None
    problem: str = ""
    entry: Entry | None = None  # as it was last listed

    def holds_for(self, place: Place) -> bool:
        """Whether it was given from the files as they now are."""
        return self.place is not None and _identity(self.place) == _identity(place)


class Store:
    """The runs below `root`, examined; safe to ask from several threads.

    Raises `NoRunError` where `root` is no folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise NoRunError(f"No folder at {root}: expected a directory that holds runs.")
        self._cases: dict[str, _Case] = {}
        self._locks: dict[str, Lock] = {}  # by name; a run that is gone and comes back has the same
        self._used = LastUsed(self.root)
        self._look = Lock()
        self._listing = Lock()
        self._good_until_s = float("-inf")
        self._below = Places(self.root)
        self._places: Mapping[str, Place] = {}
        self._recalled = False
        self._ledger: Ledger[Entry] = Ledger()
        self._asked = count(1)

    def changes(self, revision: str = "", budget_s: float = LOOK_BUDGET_S) -> Changes[Entry]:
        """The runs that came or changed since `revision` and the names of those that are gone, after a look at all."""
        asked = next(self._asked)
        self._ledger.take(self.entries(budget_s), asked)
        return self._ledger.since(revision)

    @property
    def unread(self) -> bool:
        """Whether a run waits for its first examination."""
        return any(case.place is None for case in self._cases.values())

    def entries(self, budget_s: float = LOOK_BUDGET_S) -> list[Entry]:
        """All runs, those changed since the last look examined anew as far as the budget goes."""
        places = self._current_places()
        if self._look.acquire(blocking=False):  # one look at a time: a second one shows what is there
            try:
                self._catch_up(places, time.monotonic() + budget_s)
            finally:
                self._look.release()
        now = time.time()
        return [self._entry(place, now) for place in places.values()]

    def entry(self, name: str) -> Entry | None:
        """The run of that name, examined as its files now stand; None where there is no such run.

        While another thread examines it, what was known before: one large run must not hold up all threads.
        """
        place = self._current_places().get(name) if isinstance(name, str) else None  # it comes from a browser
        if place is None:
            return None
        known = self._used.known(place.name)
        examined = self._examine(place, FIRST_LOOK_S if known is None else 0.0) or known
        return _entry_of(place, time.time(), self._case(place), examined)

    def _current_places(self) -> Mapping[str, Place]:
        with self._listing:
            began = time.monotonic()
            if began > self._good_until_s:
                self._places = self._below.now()
                self._cases = {name: self._cases.get(name) or _Case() for name in self._places}
                if not self._recalled:
                    self._recall()
                took = time.monotonic() - began
                self._good_until_s = began + took + max(LISTING_S, took / LISTING_SHARE if LISTING_S > 0 else 0)
            return self._places

    def _recall(self) -> None:
        """Begin with what an earlier start has kept, as far as it still holds."""
        self._recalled = True
        remembered = kept.recalled(self.root)
        for name, place in self._places.items():
            known = remembered.get(name)
            if known is not None and not place.problem and known.state == kept.state_of(place):
                case = self._cases[name]
                case.place, case.summary = place, known.summary
        if gone := remembered.keys() - self._places.keys():
            kept.keep(self.root, (), gone)

    def _catch_up(self, places: Mapping[str, Place], deadline: float) -> None:
        changed = [place for place in places.values() if not self._case(place).holds_for(place)]
        # What was never read comes first, newest first; then what was read longest ago.
        changed.sort(key=lambda place: (self._case(place).examined_s, -place.last_write_s))
        new: list[kept.Kept] = []
        for place in changed:
            if time.monotonic() > deadline:
                break
            examined = self._examine(place)
            if examined is None:  # a page is having it read
                continue
            if (summary := self._case(place).summary) is not None and examined.complete:
                new.append(kept.Kept(place.name, kept.state_of(place), summary))
        if new:
            kept.keep(self.root, new)

    def _examine(self, place: Place, patience_s: float = 0.0) -> Examined | None:
        """The run examined as its files now stand; None where another thread has been at it for so long."""
        case, lock = self._case(place), self._locks.setdefault(place.name, Lock())
        if not lock.acquire(timeout=patience_s):
            return None
        try:
            examined = self._used.examined(place)
            if not case.holds_for(place):
                case.summary = summary_of(examined.diagnosis) if examined.diagnosis else None
                case.problem = examined.problem
                case.place, case.examined_s = place, time.monotonic()
            return examined
        finally:
            lock.release()

    def _entry(self, place: Place, now_s: float) -> Entry:
        """The run as listed; the same object as before where nothing about it has changed."""
        case = self._case(place)
        entry = _entry_of(place, now_s, case)
        if case.entry != entry:
            case.entry = entry
        return case.entry or entry

    def _case(self, place: Place) -> _Case:
        return self._cases.get(place.name) or _Case()  # gone from a newer listing: nothing to keep


def _entry_of(place: Place, now_s: float, case: _Case, examined: Examined | None = None) -> Entry:
    told = case.summary or {}
    state = activity(
        place.last_write_s,
        now_s,
        told.get("pause_s", 0.0),
        ended=told.get("ended"),
        marks_its_end=told.get("marks_its_end", False),
    )
    diagnosis, version = (examined.diagnosis, examined.version) if examined else (None, "")
    return Entry(place.name, place.path, state, place.last_write_s, diagnosis, case.problem, case.summary, version)


def _identity(place: Place) -> tuple[tuple[FileIdentity, ...], tuple[FileIdentity, ...], str]:
    return place.files, place.beside, place.problem
