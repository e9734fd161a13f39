"""How long a run was to be, how fast it goes, and what is left: only where settings and wall times tell."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from diagnose.prescriptions.settings import settings_of
from diagnose.run import Run, Series, Values
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

RECENT: Final = 200  # values of the loss that the pace is taken from
FAR: Final = 10.0  # times the usual time between two values
BEYOND: Final = 1.02  # of the plan: a run that went further had another one
LAST_SHARE: Final = 0.05  # of the plan: what is logged more rarely does not tell that its last stretch is done


def planned_steps(run: Run) -> int | None:
    """Optimizer steps that the settings ask for; None where they do not tell, or the run has gone beyond."""
    told = settings_of(run).planned
    if told is None or told < 1 or run.steps > BEYOND * told:
        return None
    return round(told)


def pace_s(run: Run) -> float | None:
    """Seconds a step of late; None where too little was logged or its clock stood still."""
    loss = run.scalar(TRAIN_LOSS) or run.scalar(VALIDATION_LOSS)
    if loss is None or len(loss) < 3:
        return None
    took, done = np.diff(loss.wall_times[-RECENT:]), np.diff(loss.steps[-RECENT:])
    trained = ~_stopped(took)
    pace = float(took[trained].sum() / done[trained].sum()) if trained.any() else 0.0
    return pace if np.isfinite(pace) and pace > 0 else None


def _stopped(gaps: Values) -> NDArray[np.bool_]:
    """Which gaps are no part of training: far longer than usual, and longer than all shorter ones together.

    So a run that was resumed after two days is told from one that validates now and then.
    """
    usual = np.median(gaps[gaps > 0]) if (gaps > 0).any() else 0.0
    ascending = np.sort(gaps)
    outlasts = (ascending > FAR * usual) & (ascending > np.cumsum(ascending) - ascending)
    return gaps >= ascending[outlasts][0] if outlasts.any() else np.zeros(len(gaps), bool)


def progress(run: Run, planned: int | None) -> float | None:
    """The share of the plan that is done: all of it where the next regular value would fall past the plan."""
    if planned is None:
        return None
    loss = run.scalar(TRAIN_LOSS) or run.scalar(VALIDATION_LOSS)
    interval = _interval(loss)
    counts_from_one = loss is not None and 0 < loss.steps[0] <= interval
    last = planned if counts_from_one else planned - 1
    return 1.0 if run.steps + min(interval, LAST_SHARE * planned) > last else run.steps / planned


def _interval(loss: Series | None) -> int:
    """Median steps between two values of the loss, 1 where it has too few."""
    return max(1, int(np.median(np.diff(loss.steps[-RECENT:])))) if loss is not None and len(loss) > 2 else 1


def in_words(seconds: float) -> str:
    """A span of time as a person would say it: "40 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
