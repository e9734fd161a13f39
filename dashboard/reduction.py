"""Long curves as few points: as many as a plot has room for, with every spike and every gap.

Of each share of the steps the lowest and the highest value are kept (MinMax). MinMaxLTTB draws smoother lines
of as many points, but keeps one of a dip and a spike that share a pixel; a doctor must see both.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tsdownsample import MinMaxDownsampler

from diagnose.dashboard.view import Window
from diagnose.run import Series

HOLE: Final = 20.0  # times the usual distance of two logged steps, and
HOLE_SHARE: Final = 0.05  # of all steps: nothing was logged in between. A cadence that is stretched is no hole
SAMPLED: Final = 2_000  # distances that the usual one is taken from
Places = NDArray[np.intp]

_MINMAX: Final[Any] = MinMaxDownsampler()  # type: ignore[no-untyped-call]


def within(series: Series, shown: Window | None) -> Series:
    """The part from one step to the other, and the neighbour on either side that the line comes from or goes to."""
    if shown is None:
        return series
    part = places_within(series.steps, shown)
    return Series(series.steps[part], series.values[part], series.wall_times[part])


def places_within(steps: NDArray[np.int64], shown: Window) -> slice:
    """Where these steps lie among all, with the neighbour on either side."""
    first, last = np.searchsorted(steps, shown[0]), np.searchsorted(steps, shown[1], side="right")
    return slice(max(int(first) - 1, 0), int(last) + 1)


def reduced(series: Series, most: int) -> Series:
    """At most about `most` finite values with the first, the last and all extremes; NaN where the line is broken.

    It is broken at values that are not finite, and where nothing was logged for long.
    """
    finite = np.isfinite(series.values)
    sound: Places = np.flatnonzero(finite)
    if not len(sound):
        return Series(series.steps[:0], series.values[:0], series.wall_times[:0])
    ends = _ends_before_gaps(series, sound)
    edges = np.concatenate([ends, ends + 1]) if len(ends) <= most // 4 else np.empty(0, np.intp)
    kept = np.unique(np.concatenate([_kept(series.values[sound], most), edges]))
    breaks = np.unique(np.searchsorted(kept, ends + 1))
    places = sound[kept]
    return Series(
        np.insert(series.steps[places], breaks, series.steps[places[breaks]]),
        np.insert(series.values[places], breaks, np.nan),
        np.insert(series.wall_times[places], breaks, np.nan),
    )


def _kept(values: NDArray[np.float64], most: int) -> Places:
    if len(values) <= most:
        return np.arange(len(values))
    extremes = _MINMAX.downsample(np.ascontiguousarray(values), n_out=max(most // 2 * 2, 4))
    return np.unique(np.concatenate([[0, len(values) - 1], extremes.astype(np.intp)]))


def _ends_before_gaps(series: Series, sound: Places) -> Places:
    """Which finite values are the last ones before a gap, as places among the finite ones."""
    first, last = series.steps[[0, -1]]
    if len(sound) < 2 or (len(sound) == len(series) and last - first == len(series) - 1):
        return np.empty(0, np.intp)  # one value at every step
    apart = np.diff(series.steps[sound])
    usual = float(np.median(apart[:: len(apart) // SAMPLED + 1]))
    hole = max(HOLE * usual, HOLE_SHARE * float(last - first))
    return np.flatnonzero((np.diff(sound) > 1) | (apart > hole))
