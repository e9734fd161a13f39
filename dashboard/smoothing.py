"""The line drawn over a noisy curve, and what it is made of, in words that a reader can hold it to."""

from __future__ import annotations

from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from scipy.ndimage import median_filter

from diagnose import curves
from diagnose.dashboard.reduction import within
from diagnose.dashboard.view import Window
from diagnose.reports.figures import NOISY, SEVERAL
from diagnose.run import Series

QUANTILES: Final = (0.02, 0.98)
SAMPLED: Final = 20_000  # values: the spread of more is known well enough from these


class Smooth(NamedTuple):
    """The smoothed line and the number of logged values that each of its medians is taken of."""

    line: Series
    width: int


_MEDIANS: WeakKeyDictionary[Series, dict[int, Series]] = WeakKeyDictionary()
_NOISY: WeakKeyDictionary[Series, bool] = WeakKeyDictionary()


def smoothed(series: Series, how: str, shown: Window | None) -> Smooth | None:
    """A running median, None where none is wanted or the curve needs none.

    `how` is a number of values, "off", or "auto": for a noisy curve 2.5 % of what is shown.
    """
    if how == "off":
        return None
    if how == "auto":
        smooth = _of_shares(within(series, shown).finite) if _is_noisy(series) else None
    else:
        width = int(how)
        smooth = Smooth(within(_median(series, width), shown), width) if len(series.finite) > width else None
    return smooth and _broken(smooth, within(series, shown))


def _broken(smooth: Smooth, series: Series) -> Smooth:
    """The line with NaN where more values in a row than each median is taken of are no number."""
    turns = np.flatnonzero(np.diff(~np.isfinite(series.values), prepend=False, append=False))
    first, after = turns[::2], turns[1::2]
    holes = series.steps[first[after - first > smooth.width]]
    at = np.searchsorted(smooth.line.steps, holes)
    steps = np.insert(smooth.line.steps, at, holes)
    values, wall_times = (np.insert(part, at, np.nan) for part in (smooth.line.values, smooth.line.wall_times))
    return Smooth(Series(steps, values, wall_times), smooth.width)


def _is_noisy(series: Series) -> bool:
    """Whether a line drawn through all values would hide the curve; looked at once for the whole of it."""
    if series not in _NOISY:
        sound = series.finite.values
        few = len(sound) < 2 * SEVERAL
        spread = 0.0 if few else float(np.ptp(np.quantile(sound[:: len(sound) // SAMPLED + 1], QUANTILES)))
        _NOISY[series] = spread > 0 and curves.noise(sound) > NOISY * spread
    return _NOISY[series]


def _of_shares(sound: Series) -> Smooth | None:
    if len(sound) < 2 * SEVERAL:
        return None
    line = curves.smoothed(curves.reduced(sound))
    share = -(-len(sound) // curves.POINTS)
    return Smooth(Series(line.steps, line.values, np.zeros(len(line))), 5 * share)


def _median(series: Series, width: int) -> Series:
    """The running median of the whole series, kept while the series is: a zoom asks for it again."""
    known = _MEDIANS.setdefault(series, {})
    if width not in known:
        sound = series.finite
        values = median_filter(sound.values, size=width, mode="nearest")
        known[width] = Series(sound.steps, values, sound.wall_times)
    return known[width]
