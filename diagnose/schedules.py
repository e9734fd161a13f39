"""Learning-rate schedules: what the logged rate tells about the one that ran."""

from __future__ import annotations

import numpy as np

from diagnose.run import Series

RISEN = 0.99  # of the highest rate: warmup counts as done
WARMUP_START = 0.7  # a first rate above this share of the highest is no warmup
LONGEST_WARMUP = 0.5  # of the run: a rise that takes longer is a cycle, not a warmup


def peak_lr(lr: Series | None) -> float | None:
    """The highest rate that was used, None where none was logged."""
    return float(lr.finite.values.max()) if lr is not None and len(lr.finite) else None


def warmup_steps(lr: Series | None) -> int:
    """Steps from the start until the rate first reaches its highest value, 0 where the run has no warmup.

    A warmup is a rise from well below the highest rate, within the first half of the run, without a fall.
    """
    if lr is None or len(lr.finite) < 2:
        return 0
    values, steps = lr.finite.values, lr.finite.steps
    peak = int(np.argmax(values >= RISEN * values.max()))
    rises = bool((np.diff(values[: peak + 1]) >= 0).all())
    short = steps[peak] - steps[0] <= LONGEST_WARMUP * (steps[-1] - steps[0])
    return int(steps[peak]) - lr.start if values[0] < WARMUP_START * values.max() and rises and short else 0
