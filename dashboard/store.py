"""The live store: the dashboard's only state. It examines runs, and again when their files have changed.

Nothing happens unless a page asks. Each look at all runs has a budget of time, so that a folder of a
hundred large runs opens at once and fills in; what the budget did not reach is read at the next look.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final

from diagnose.dashboard.activity import Activity, activity, usual_pause_s
from diagnose.dashboard.places import FileIdentity, Place, places_below
from diagnose.diagnosis import Diagnosis
from diagnose.errors import DiagnoseError, NoRunError
from diagnose.examination import examine
from diagnose.logs.loading import FollowedRun

LOOK_BUDGET_S: Final = 1.0  # reading time of one look at all runs: under the pages' refresh of two seconds
LISTING_S: Final = 1.0  # how long a listing of the folder stays good: several open pages share one


@dataclass(frozen=True)
class Entry:
    """One run as the pages show it: with a diagnosis, with a problem, or with neither while still unread."""

    name: str
    path: str
    activity: Activity
    last_write_s: float
    diagnosis: Diagnosis | None = None
    problem: str = ""


@dataclass
class _Case:
    """What the last examination of one run gave, and the files it was given from."""

    lock: Lock = field(default_factory=Lock)
    files: tuple[FileIdentity, ...] | None = None
    examined_s: float = 0.0
    diagnosis: Diagnosis | None = None
    problem: str = ""
    pause_s: float = 0.0
    followed: FollowedRun | None = None  # what was read of the files: of one that grows only the rest is


class Store:
    """The runs below `root`, examined; safe to ask from several threads.

    Raises `NoRunError` where `root` is no folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise NoRunError(f"No folder at {root}: expected a directory that holds runs.")
        self._cases: dict[str, _Case] = {}
        self._look = Lock()
        self._listing = Lock()
        self._listed_s = float("-inf")
        self._places: Mapping[str, Place] = {}

    def entries(self, budget_s: float = LOOK_BUDGET_S) -> list[Entry]:
        """All runs, those changed since the last look examined anew as far as the budget goes."""
        places = self._current_places()
        if self._look.acquire(blocking=False):  # one look at a time: a second one shows what is there
            try:
                self._catch_up(places, time.monotonic() + budget_s)
            finally:
                self._look.release()
        return [self._entry(place) for place in places.values()]

    def entry(self, name: str) -> Entry | None:
        """The run of that name, examined as its files now stand; None where there is no such run."""
        place = self._current_places().get(name)
        if place is None:
            return None
        self._examine(place)
        return self._entry(place)

    def _current_places(self) -> Mapping[str, Place]:
        with self._listing:
            if time.monotonic() - self._listed_s > LISTING_S:
                self._places = places_below(self.root)
                self._cases = {name: self._cases.get(name) or _Case() for name in self._places}
                self._listed_s = time.monotonic()
            return self._places

    def _catch_up(self, places: Mapping[str, Place], deadline: float) -> None:
        changed = [place for place in places.values() if self._case(place).files != place.files]
        # What was never read comes first, newest first; then what was read longest ago.
        changed.sort(key=lambda place: (self._case(place).examined_s, -place.last_write_s))
        for place in changed:
            if time.monotonic() > deadline:
                return
            self._examine(place)

    def _examine(self, place: Place) -> None:
        case = self._case(place)
        with case.lock:
            if case.files != place.files:
                case.followed = case.followed or FollowedRun(place.path, root=self.root)
                case.diagnosis, case.problem = _diagnosis_or_problem(place, case.followed)
                case.pause_s = usual_pause_s(case.diagnosis.run) if case.diagnosis else 0.0
                case.files, case.examined_s = place.files, time.monotonic()

    def _entry(self, place: Place) -> Entry:
        case = self._case(place)
        closed = case.diagnosis is not None and case.diagnosis.run.closed
        state = activity(place.last_write_s, time.time(), case.pause_s, closed=closed)
        return Entry(place.name, place.path, state, place.last_write_s, case.diagnosis, case.problem)

    def _case(self, place: Place) -> _Case:
        return self._cases.get(place.name) or _Case()  # gone from a newer listing: nothing to keep


def _diagnosis_or_problem(place: Place, followed: FollowedRun) -> tuple[Diagnosis | None, str]:
    if place.problem:
        return None, place.problem
    try:
        return examine(followed.refresh()), ""
    except DiagnoseError as error:
        return None, str(error).replace(place.path, place.name)  # the page names runs by their name
    except Exception as error:  # noqa: BLE001  logs come from strangers: one run's oddity must not hide the others
        return None, f"The examination failed with {type(error).__name__}: {error}. Its files may be damaged."
