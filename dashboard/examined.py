"""Runs read and examined: those used last are kept, so that of a growing one only what is new is read."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import Final

from diagnose.dashboard.places import FileIdentity, Place
from diagnose.diagnosis import Diagnosis
from diagnose.errors import DiagnoseError
from diagnose.examination import examine
from diagnose.logs.loading import FollowedRun
from diagnose.run import Run

MOST_RUNS: Final = 64
MOST_BYTES: Final = 300_000_000  # that they take; the last one is kept whatever it takes
LAYER_BYTES: Final = 1_000  # of one layer's description and what is derived from it, measured; without its name


@dataclass
class Examined:
    """One run as its files stood when it was last read."""

    followed: FollowedRun
    files: tuple[FileIdentity, ...] | None = None
    beside: tuple[FileIdentity, ...] = ()
    diagnosis: Diagnosis | None = None
    problem: str = ""
    version: str = ""  # another one after each examination, also of a server that was started anew
    size: int = 0  # bytes in memory

    @property
    def complete(self) -> bool:
        """Whether all that is there could be read."""
        return self.diagnosis is not None and self.diagnosis.run.complete


class LastUsed:
    """The runs below `root` that were used last, examined. Each is to be asked for by one thread at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = Lock()
        self._kept: OrderedDict[str, Examined] = OrderedDict()

    def known(self, name: str) -> Examined | None:
        """The run as it was last examined, where it is kept; another thread may be examining it anew."""
        with self._lock:
            return self._kept.get(name)

    def examined(self, place: Place) -> Examined:
        """The run as its files now stand."""
        with self._lock:
            known = self._kept.get(place.name)
        if known is None or known.beside != place.beside:  # other settings, which are read with the log
            known = Examined(FollowedRun(place.path, root=self._root), beside=place.beside)
        if known.files != place.files or place.problem:
            known.diagnosis, known.problem = _diagnosis_or_problem(place, known.followed)
            known.files, known.version = place.files, token_hex(8)
            known.size = _bytes_of(known.diagnosis.run) + _bytes_of_setup(known.diagnosis.run) if known.diagnosis else 0
        self._use(place.name, known)
        return known

    def _use(self, name: str, examined: Examined) -> None:
        with self._lock:
            self._kept[name] = examined
            self._kept.move_to_end(name)
            while len(self._kept) > 1 and (len(self._kept) > MOST_RUNS or self._bytes() > MOST_BYTES):
                self._kept.popitem(last=False)

    def _bytes(self) -> int:
        return sum(each.size for each in self._kept.values())


def _bytes_of(run: Run) -> int:
    """What its curves take; what several have in common counts once."""
    scalars = (part for one in run.scalars.values() for part in (one.steps, one.values, one.wall_times))
    layers = (part for one in run.layer_signals.values() for part in (one.steps, one.values))
    sizes = {part.__array_interface__["data"][0]: part.nbytes for part in (*scalars, *layers)}
    return sum(sizes.values())


def _bytes_of_setup(run: Run) -> int:
    """What its layers take: of a model of thousands, more than the curves."""
    return sum(LAYER_BYTES + len(name) for name in run.layer_names)


def _diagnosis_or_problem(place: Place, followed: FollowedRun) -> tuple[Diagnosis | None, str]:
    if place.problem:
        return None, place.problem
    try:
        return examine(followed.refresh()), ""
    except DiagnoseError as error:
        return None, str(error).replace(place.path, place.name)  # the page names runs by their name
    except Exception as error:  # noqa: BLE001  logs come from strangers: one run's oddity must not hide the others
        return None, f"The examination failed with {type(error).__name__}: {error}. Its files may be damaged."
