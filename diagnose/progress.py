"""What the training loss says about a run's health, for symptoms read off other signals.

An odd number in a run that learns is worth knowing; in one that does not learn it is an illness.
"""

from __future__ import annotations

import numpy as np

from diagnose import curves
from diagnose.run import Run, Series
from diagnose.signals import TRAIN_LOSS, UPDATE_RATIO

LOST_AT_MOST = 0.2  # of the progress made, at the end: sound runs stay under it (see symptoms/divergence.py)
NOISE_FACTOR = 3.0  # standard deviations of the loss's own noise: a smaller fall is none
FIRST_VALUES = 3  # not the first tenth: a knee within that tenth is progress too


def start(loss: Series) -> float:
    """The level at which a loss with finite values begins: its first value, or the first few's median where lower.

    A rate far too high throws the second value far above the first. A first value of exactly 0 stands for
    none: some loggers write it before training.
    """
    first, median = float(loss.finite.values[0]), float(np.median(loss.finite.values[:FIRST_VALUES]))
    return min(first, median) if first else median


def fall(run: Run) -> float:
    """How far the training loss has fallen from its first to its last level, in deviations of one value's noise.

    0 where too little of it was logged.
    """
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or len(loss.finite) < curves.MIN_POINTS:
        return 0.0
    fallen = start(loss) - curves.reduced(loss).last_level
    noise = curves.noise(loss.finite.values)
    return fallen / noise if noise > 0 else float(np.sign(fallen)) * np.inf if fallen else 0.0


def learned(run: Run) -> bool:
    """Whether the training loss has fallen beyond its noise and ends near its best level."""
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or not np.isfinite(loss.values[-1]) or fall(run) < NOISE_FACTOR:
        return False
    raw = curves.reduced(loss)
    best = float(curves.smoothed(raw).values.min())
    return raw.last_level - best <= max(LOST_AT_MOST * (start(loss) - best), NOISE_FACTOR * curves.noise(raw.values))


def still_falls(run: Run) -> bool:
    """Whether the last third of the training loss falls beyond doubt (Mann–Kendall under −3)."""
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or len(loss.finite) < 3 * curves.MIN_POINTS:
        return False
    curve = curves.reduced(loss)
    third = curve.between(int(curve.steps[-(len(curve) // 3)]), int(curve.steps[-1]))
    return curves.trend_score(third) < -NOISE_FACTOR


def path(run: Run) -> float | None:
    """All updates of the run laid end to end, in norms of the weights; None where none were logged."""
    updates = run.scalar(UPDATE_RATIO)
    return float(updates.finite.values.mean()) * run.length if updates is not None and len(updates.finite) else None
