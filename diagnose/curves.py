"""Robust statistics of curves: levels, noise, trends, all on the curve's own scale.

Everything here first reduces a curve to a few hundred medians, so that a million steps cost about as
much as ten thousand and one wild value moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from diagnose.run import Series, Steps, Values

POINTS = 200  # medians a curve is reduced to: 0.5 % of a run is the finest that any symptom asks for
END_SHARE = 0.1  # of the points: what counts as a curve's first and last level
LONGEST_LAG = 0.05  # of the values: noise that is correlated over longer is a trend
MOST_DIFFERENCES = 20_000  # of each lag: their deviation is known to a hundredth then
START_SHARE = 0.02  # of the values: what counts as a run's start, so that one wild first value decides nothing
MIN_POINTS = 8  # fewer values than this are too short to tell anything from


@dataclass(frozen=True, eq=False)
class Curve:
    """A series reduced to medians of equal shares: `steps` the last step of each share, `values` its median."""

    steps: Steps
    values: Values

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def first_level(self) -> float:
        """Median of the first tenth."""
        return float(np.median(self.values[: self._end_points]))

    @property
    def last_level(self) -> float:
        """Median of the last tenth."""
        return float(np.median(self.values[-self._end_points :]))

    def between(self, first: int, last: int) -> Curve:
        """The part from step `first` to step `last`, both included."""
        inside = (self.steps >= first) & (self.steps <= last)
        return Curve(self.steps[inside], self.values[inside])

    @property
    def _end_points(self) -> int:
        return max(1, int(len(self) * END_SHARE))


_REDUCED: WeakKeyDictionary[Series, dict[int, Curve]] = WeakKeyDictionary()


def reduced(series: Series, points: int = POINTS) -> Curve:
    """The series' finite values as at most `points` medians of equal shares; not to be written to.

    Every symptom of curves asks for it: a series that is still held is reduced once.
    """
    known = _REDUCED.setdefault(series, {})
    if points not in known:
        known[points] = _medians(series, points)
    return known[points]


def _medians(series: Series, points: int) -> Curve:
    sound = series.finite
    share = -(-len(sound) // points)
    if share <= 1:
        return Curve(sound.steps, sound.values)
    whole = len(sound) // share * share
    medians = np.median(sound.values[:whole].reshape(-1, share), axis=1)
    steps = sound.steps[share - 1 : whole : share]
    if whole < len(sound):  # the rest is a shorter share of its own: a run's end must not be lost
        medians = np.append(medians, np.median(sound.values[whole:]))
        steps = np.append(steps, sound.steps[-1])
    return Curve(steps, medians)


def smoothed(curve: Curve, width: int = 5) -> Curve:
    """Running median over `width` points (odd), the ends repeated."""
    if len(curve) < width:
        return curve
    half = width // 2
    padded = np.pad(curve.values, half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    return Curve(curve.steps, np.median(windows, axis=1))


def start_level(series: Series) -> float:
    """Median of the first fiftieth of the finite values: the first alone where few were logged."""
    values = series.finite.values
    return float(np.median(values[: max(1, int(len(values) * START_SHARE))]))


def level_at(curve: Curve, steps: Steps | int) -> Values:
    """The curve's values at `steps`, on straight lines between its points."""
    return np.interp(np.asarray(steps, np.float64), curve.steps, curve.values)


def onset(series: Series, after: int, level: float) -> int:
    """The last step from `after` on at which the series was below `level`, before three values in a row above it.

    `after` itself where it never stays above.
    """
    sound = series.finite
    late = sound.steps >= after
    steps, above = sound.steps[late], sound.values[late] > level
    stays = above[:-2] & above[1:-1] & above[2:]
    return int(steps[max(int(np.argmax(stays)) - 1, 0)]) if stays.any() else after


def step_noise(values: Values) -> float:
    """Standard deviation of what changes from one value to the next without any order.

    From differences by MAD, the smaller of lags 1 and 2: noise is the same at both, while a value that
    alternates with every step is large at the first and small at the second.
    """
    lags = [values[lag:] - values[:-lag] for lag in (1, 2) if len(values) > lag + 1]
    return min((mad(apart) / float(np.sqrt(2)) for apart in lags), default=0.0)


def noise(values: Values) -> float:
    """Standard deviation of what is left beside the trend, from differences by MAD; 0 for fewer than three values.

    For white noise the differences have √2 times its standard deviation, whatever their lag. Smoothed or
    otherwise correlated noise shows its size only at larger lags: the largest over lags of 1, 2, 4, … counts,
    up to a twentieth of the values. Of many values evenly spaced differences stand for all.
    """
    every = -(-len(values) // MOST_DIFFERENCES)
    lags = [2**power for power in range(max(1, int(len(values) * LONGEST_LAG).bit_length()))]
    differences = (values[lag::every] - values[:-lag:every] for lag in lags if len(values) > lag + 1)
    return max((mad(apart) / float(np.sqrt(2)) for apart in differences), default=0.0)


def mad(values: NDArray[np.float64]) -> float:
    """Standard deviation estimated by the median absolute deviation (times 1.4826, for a normal law)."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0


def slope(curve: Curve) -> float:
    """Theil–Sen slope per step: the median over all pairs of points (Sen 1968)."""
    first, second = np.triu_indices(len(curve), k=1)
    runs = curve.steps[second] - curve.steps[first]
    return float(np.median((curve.values[second] - curve.values[first]) / runs)) if len(runs) else 0.0


def trend_score(curve: Curve) -> float:
    """Mann–Kendall score: about standard normal where there is no trend, below −3 where it surely falls."""
    n = len(curve)
    if n < 3:
        return 0.0
    first, second = np.triu_indices(n, k=1)
    balance = float(np.sign(curve.values[second] - curve.values[first]).sum())
    spread = np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return float((balance - np.sign(balance)) / spread)


def sigmoid(margin: float) -> float:
    """1 / (1 + e^−margin): turns how far past its threshold a number lies into a confidence."""
    return float(1 / (1 + np.exp(-np.clip(margin, -30, 30))))
