"""The axis of a picture: where a value lies on it, and where its ticks are."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final

import numpy as np

from diagnose.reports.figures import spans_decades
from diagnose.reports.numbers import shown
from diagnose.run import Values

MOST_TICKS: Final = 6
SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`; by powers of ten where it is logarithmic."""

    low: float
    high: float
    logarithmic: bool = False

    def share(self, values: Values) -> Values:
        """Where the values lie: 0 at the low end, 1 at the high one."""
        if self.logarithmic:
            low, high = log10(self.low), log10(self.high)
            logs: Values = np.log10(np.clip(values, self.low, self.high))
            return (logs - low) / (high - low)
        return (values - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Values and their labels, at most six of them."""
        if self.logarithmic:
            first, last = ceil(log10(self.low) - 1e-9), floor(log10(self.high) + 1e-9)
            every = max(1, ceil((last - first + 1) / MOST_TICKS))
            return [(10.0**power, _power(power)) for power in range(first, last + 1, every)]
        step = _round_step((self.high - self.low) / (MOST_TICKS - 1))
        numbers = np.arange(ceil(self.low / step), floor(self.high / step + 1e-9) + 1) * step
        return [(float(number), shown(float(np.round(number, 12)))) for number in numbers]


def axis_for(values: Values, by: Values | None = None) -> Axis:
    """An axis that shows these values: logarithmic where those of `by` span decades, else with 0 if that is not far."""
    sound = values[np.isfinite(values)]
    if not len(sound):
        return Axis(0.0, 1.0)
    low, high = float(sound.min()), float(sound.max())
    if sound.min() > 0 and spans_decades(sound if by is None else by):
        return Axis(10.0 ** floor(log10(low)), 10.0 ** ceil(log10(high)), logarithmic=True)
    low = 0.0 if 0 <= low < high / 2 else low
    room = 0.05 * (high - low) or abs(high) or 1.0
    return Axis(low if low == 0 else low - room, high + room)


def _round_step(rough: float) -> float:
    power: float = 10.0 ** floor(log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _power(power: int) -> str:
    return f"10{str(power).translate(SUPERSCRIPTS)}"
