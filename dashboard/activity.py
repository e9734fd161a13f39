"""Whether a run is live or how it ended, told by its closing mark, its plan and its last write."""

from __future__ import annotations

from math import inf
from typing import Final, Literal

import numpy as np

from diagnose.endings import How
from diagnose.logs.layout import OWN_TAGS
from diagnose.run import Run
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

Activity = Literal["live", "stalled", "silent", "finished", "stopped", "crashed"]

LIVE_S: Final = 60.0  # the monitor flushes every few seconds: a minute of silence is no accident
FINISHED_S: Final = 900.0  # what has been silent for a quarter of an hour is not waited for
RHYTHM: Final = 3.0  # times the run's own pause between writes: one that logs once an epoch is slow, not silent
AHEAD_S: Final = 3600.0  # that another machine's clock may be in advance of this one's
RECENT: Final = 20  # writes that its rhythm is taken from


def activity(
    last_write_s: float, now_s: float, pause_s: float = 0.0, *, ended: How | None = None, marks_its_end: bool = False
) -> Activity:
    """How the run has `ended`, where that is known, else told by the age of its last write.

    `live` up to a minute, then `stalled`. A writer that `marks_its_end` and has not is stalled for good; of another
    nothing is claimed after a quarter of an hour but that it is `silent`.

    Both limits stretch to three times `pause_s`, the run's own usual pause between two writes.
    """
    if ended is not None:
        return ended
    age = now_s - last_write_s
    if age < -AHEAD_S:
        age = inf  # a clock that is so wrong does not tell when it was
    if age <= max(LIVE_S, RHYTHM * pause_s):
        return "live"
    return "stalled" if marks_its_end or age <= max(FINISHED_S, 2 * RHYTHM * pause_s) else "silent"


def marks_its_end(run: Run) -> bool:
    """Whether the log is one of ours, which are closed where training ends by itself."""
    return bool(run.setup.optimizer) or any(name.startswith(OWN_TAGS) for name in run.scalars)


def usual_pause_s(run: Run) -> float:
    """Median seconds between the last writes of the run's loss, 0 where it has too few."""
    series = run.scalar(TRAIN_LOSS) or run.scalar(VALIDATION_LOSS)
    if series is None or len(series) < 3:
        return 0.0
    pause = float(np.median(np.diff(series.wall_times[-RECENT:])))
    return pause if np.isfinite(pause) and pause > 0 else 0.0
