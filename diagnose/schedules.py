"""Learning-rate schedules: what the logged rate tells about the one that ran."""

from __future__ import annotations

import numpy as np

from diagnose.run import Series, Values

RISEN = 0.99  # of the highest rate: warmup counts as done
WARMUP_START = 0.7  # a first rate above this share of the highest is no warmup
ROSE = 1.1  # times an earlier rate: a restart or the rising half of a cycle; schedules do not jitter by a tenth
FELL = 0.7  # times an earlier rate: a decay that curves can show (the mildest usual step decay is a half)
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


def rate_rises(lr: Series | None, first: int, last: int) -> bool:
    """Whether the rate rises clearly between steps `first` and `last`; no where none was logged."""
    values = _between(lr, first, last)
    return len(values) > 1 and bool((values > ROSE * np.minimum.accumulate(values)).any())


def rate_falls(lr: Series | None, first: int, last: int) -> bool:
    """Whether the rate falls clearly between steps `first` and `last`; no where none was logged."""
    values = _between(lr, first, last)
    return len(values) > 1 and bool((values < FELL * np.maximum.accumulate(values)).any())


def share_of_peak(lr: Series | None, step: int) -> float | None:
    """The rate at `step` as a share of the highest, None where no positive rate was logged."""
    peak = peak_lr(lr)
    if lr is None or peak is None or peak <= 0:
        return None
    at = int(np.searchsorted(lr.finite.steps, step, side="right")) - 1
    return float(lr.finite.values[max(at, 0)]) / peak


def _between(lr: Series | None, first: int, last: int) -> Values:
    """The rates that held from step `first` to `last`: the one set before `first` among them."""
    if lr is None:
        return np.empty(0)
    steps = lr.finite.steps
    begin, end = int(np.searchsorted(steps, first, side="right")) - 1, int(np.searchsorted(steps, last, side="right"))
    return lr.finite.values[max(begin, 0) : end]
