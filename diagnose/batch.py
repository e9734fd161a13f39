"""What the noise of a batch does to the steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from diagnose.facts import effective_batch_size
from diagnose.run import Run
from diagnose.signals import NOISE_SCALE, TRAIN_LOSS, UPDATE_RATIO

SHRUNK = 0.8  # of the jumps of the second quarter, in the last: less is noise that averages out as rate or loss fall
MIN_VALUES = 80  # of the loss: twenty jumps a quarter
MIN_ESTIMATES = 5  # of the noise scale, each of which averages up to 20 pairs


class Jumps(NamedTuple):
    """How far the loss jumps from one value to the next: its mean in the last half, and what that has grown by.

    `growth` is the mean of the last quarter over that of the second one: the first holds the first descent.
    """

    size: float
    growth: float

    @property
    def last(self) -> bool:
        """Whether they are no smaller at the end than after the first quarter."""
        return self.growth >= SHRUNK


def jumps(run: Run) -> Jumps | None:
    """The jumps of the training loss, None where too little of it was logged or it stands perfectly still."""
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or len(loss.finite) < MIN_VALUES:
        return None
    _, second, third, last = np.array_split(np.abs(np.diff(loss.finite.values)), 4)
    if second.mean() <= 0:
        return None
    return Jumps(float(np.concatenate([third, last]).mean()), float(last.mean() / second.mean()))


def late_update_ratio(run: Run) -> float | None:
    """Median over the last half of how far a step moves the weights, in their own length."""
    ratio = run.scalar(UPDATE_RATIO)
    if ratio is None or len(ratio.finite) < 2 * MIN_ESTIMATES:
        return None
    values = ratio.finite.values
    return float(np.median(values[len(values) // 2 :]))


def noise_over_batch(run: Run) -> float | None:
    """B_simple in batches, in the median; None where either is unknown."""
    scale, batch = run.scalar(NOISE_SCALE), effective_batch_size(run.setup)
    if scale is None or batch is None or len(scale.finite) < MIN_ESTIMATES:
        return None
    return float(np.median(scale.finite.values)) / batch
