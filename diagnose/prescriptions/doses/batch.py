"""How large the batch should be: from the gradient's noise scale where it was measured."""

from __future__ import annotations

from math import log2
from typing import Final

import numpy as np

from diagnose.facts import effective_batch_size
from diagnose.run import Run
from diagnose.signals import NOISE_SCALE

MOST_AT_ONCE: Final = 4.0  # times larger or smaller: further lies beyond what one measurement at one batch tells
SMALLEST: Final = 32  # K13: the smallest of the usual starts


def enlarged(run: Run, *, unused_data: bool = False) -> int | None:
    """The power of two nearest to the noise scale, at most four times the batch, or 32 where that is more.

    Where the run ended before it had used its data, the noise scale is no limit: larger steps use more of them.
    None where the batch is not known.
    """
    batch = effective_batch_size(run.setup)
    if batch is None:
        return None
    noise = np.inf if unused_data else _noise_scale(run) or np.inf
    near = float(np.clip(noise, 2 * batch, MOST_AT_ONCE * batch))
    return _power_of_two(max(near, min(noise, SMALLEST)))  # under the usual starts four times is little


def shrunk(run: Run) -> int | None:
    """The power of two nearest to the noise scale, at least a quarter of the batch and 32; None where none is less."""
    batch, noise = effective_batch_size(run.setup), _noise_scale(run)
    if batch is None or batch <= SMALLEST:
        return None
    after = _power_of_two(max(noise or 0.0, batch / MOST_AT_ONCE, SMALLEST))
    return after if after < batch else None


def _noise_scale(run: Run) -> float | None:
    noise = run.scalar(NOISE_SCALE)
    level = float(np.median(noise.finite.values)) if noise is not None and len(noise.finite) else 0.0
    return level if level > 0 else None


def _power_of_two(size: float) -> int:
    return int(2 ** round(log2(size)))
