"""A curve small enough for a cell of the table, and for ten thousand of them at once."""

from __future__ import annotations

from base64 import b64encode
from typing import Final

import numpy as np

from diagnose.curves import reduced
from diagnose.run import Series

POINTS: Final = 48  # of a curve in a cell a hundred pixels wide
FULL: Final = 255


def spark(series: Series | None) -> str:
    """The curve in a square of 255 by 255 as pairs of bytes in base64, 255 at the top; "" where there is none.

    Losses that explode would flatten everything before: positive ones are drawn on a logarithmic scale.
    """
    if series is None or len(series.finite) < 2:
        return ""
    curve = reduced(series, POINTS)
    values = np.log(curve.values) if (curve.values > 0).all() else curve.values
    low, high = values.min(), values.max()
    heights = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
    shares = (curve.steps - curve.steps[0]) / max(1, curve.steps[-1] - curve.steps[0])
    pairs = np.stack([shares, heights], axis=1).clip(0, 1) * FULL
    return b64encode(pairs.round().astype(np.uint8).tobytes()).decode()
