"""What a learning-rate range test found: the curve of the loss over the rate, and the rate to begin with.

found = diagnose.lr_range_test(model, optimizer, criterion, loader)
found.suggestion                      # 0.21, or None where the loss never fell beyond its noise
found.plot().write_html("range.html", include_plotlyjs=True)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.signal import lfilter

from diagnose.reports.numbers import shown
from diagnose.run import Values

if TYPE_CHECKING:
    import plotly.graph_objects as go

SMOOTHING: Final = 0.9  # β of the average: a window of ten steps, of a twelfth of a decade each over the whole range
UNSETTLED: Final = 10  # first values, of which the average is no average yet; torch-lr-finder leaves out as many
FEWEST: Final = UNSETTLED + 3  # steps: fewer have no slope to look at
GROWN: Final = 3.0  # times the loss, or its fall so far: above the best by this much it has diverged (fastai: 4 × best)
BEYOND_NOISE: Final = (
    4.0  # standard errors of the smoothed loss: the lowest of a hundred that only wander lies at 2 to 3
)
CAREFUL: Final = 10.0  # times below the lowest loss's rate: fastai's other choice


@dataclass(frozen=True, eq=False)
class LearningRateRange:
    """A range test's curve: `rates`, `losses` and `smoothed` float64 of shape (steps,), the rates rising.

    `smoothed` is the bias-corrected average s_t = (1 − β) Σ β^k l_{t−k} / (1 − β^t), steps counted from 1. `steepest`
    is the rate at which it falls fastest per factor of the rate, `lowest` the one at which it is least; both lag
    behind the loss itself by up to β / (1 − β) = 9 steps, as an average does, and are None where it never fell beyond
    its noise. `stopped` says why the test ended, `notes` what else there is to know; `closer` is the second pass
    around the first one's suggestion, where one was asked for.
    """

    rates: Values
    losses: Values
    smoothed: Values
    steepest: float | None
    lowest: float | None
    stopped: str
    notes: tuple[str, ...] = ()
    closer: LearningRateRange | None = None

    @property
    def suggestion(self) -> float | None:
        """The rate to begin with: at the steepest fall of the closer look, where there was one, else of the first."""
        closer = self.closer.steepest if self.closer is not None else None
        return closer if closer is not None else self.steepest

    @property
    def careful(self) -> float | None:
        """The other choice: a tenth of the rate of the lowest loss, in the closer look where there was one."""
        closer = self.closer.lowest if self.closer is not None else None
        lowest = closer if closer is not None else self.lowest
        return None if lowest is None else lowest / CAREFUL

    @property
    def summary(self) -> str:
        """What was found, in a sentence or two."""
        if len(self.rates) < FEWEST:
            return f"{len(self.rates)} steps are too few to suggest a rate: {FEWEST} are needed. {self.stopped}"
        if self.suggestion is None:
            told = f"Between {shown(float(self.rates[0]))} and {shown(float(self.rates[-1]))} the loss never fell"
            return f"{told} beyond its noise: no rate is suggested. {self.stopped}"
        return (
            f"Begin with a rate of {shown(self.suggestion)}, where the loss falls most steeply; a tenth of the rate at "
            f"its lowest is {shown(self.careful)}. {self.stopped}"
        )

    def plot(self) -> go.Figure:
        """The loss over the rate, with the suggestion and the alternative marked."""
        from diagnose.hooks.experiments.drawing import range_figure

        return range_figure(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "suggestion": self.suggestion,
            "careful": self.careful,
            "steepest": self.steepest,
            "lowest": self.lowest,
            "stopped": self.stopped,
            "notes": list(self.notes),
            "rates": self.rates.tolist(),
            "losses": self.losses.tolist(),
            "smoothed": self.smoothed.tolist(),
            "closer": self.closer.to_dict() if self.closer is not None else None,
        }

    def _repr_html_(self) -> str:
        notes = "".join(f"<br>{escape(note)}" for note in self.notes)
        return f"<p><strong>Learning-rate range test</strong><br>{escape(self.summary)}{notes}</p>"


def range_of(rates: Sequence[float], losses: Sequence[float], stopped: str) -> LearningRateRange:
    """The curve and what it suggests, for as many rates as there are losses."""
    at, level = np.asarray(rates[: len(losses)], np.float64), np.asarray(losses, np.float64)
    smooth = smoothed(level)
    steepest, lowest = _steepest(at, level, smooth)
    return LearningRateRange(at, level, smooth, steepest, lowest, stopped)


def smoothed(losses: Values) -> Values:
    """The exponential average with β = SMOOTHING, each value divided by the weights that it has seen (Adam's way)."""
    averages = lfilter([1 - SMOOTHING], [1, -SMOOTHING], losses)
    return np.asarray(averages / (1 - SMOOTHING ** np.arange(1, len(losses) + 1)), np.float64)


def has_diverged(losses: Sequence[float]) -> bool:
    """Whether the smoothed loss has left its best value by more than GROWN times that, or times its fall so far.

    The fall stands in for a level near 0, where the loss need not be positive.
    """
    smooth = smoothed(np.asarray(losses, np.float64))
    if len(smooth) < UNSETTLED:
        return False
    best = smooth.min()
    return bool(smooth[-1] > best + GROWN * max(abs(best), smooth[0] - best))


def _steepest(rates: Values, losses: Values, smooth: Values) -> tuple[float | None, float | None]:
    """The rates of the steepest fall and of the lowest loss; None where it is the noise that falls."""
    if len(smooth) < FEWEST:
        return None, None
    lowest = UNSETTLED + int(np.argmin(smooth[UNSETTLED:]))
    # Half the variance of neighbours' differences is the noise's, whatever the trend; it may grow with the rate.
    jumps = np.diff(losses[: lowest + 1]) ** 2 / 2
    variance = max(float(jumps.mean()), float(jumps[-2 * UNSETTLED :].mean()))
    noise = float(np.sqrt(variance * (1 - SMOOTHING) / (1 + SMOOTHING)))
    fall = float(losses[: min(2 * UNSETTLED, lowest)].mean()) - float(smooth[lowest])  # not what may have diverged
    if lowest <= UNSETTLED or fall <= BEYOND_NOISE * noise:
        return None, None
    slopes = np.gradient(smooth, np.log(rates))[UNSETTLED : lowest + 1]
    return float(rates[UNSETTLED + int(np.argmin(slopes))]), float(rates[lowest])
