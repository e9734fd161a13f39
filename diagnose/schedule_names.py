"""The schedule that ran, named by the curve that fits the logged rate best (K30).

    named_schedule(run.scalar("lr/group0"))      # NamedSchedule(name="cosine", warmup_steps=500, peak=0.1, end=0.0, …)

The curves are those of schedule_curves.py; a polynomial's power is fitted between 1/2 and 8. A schedule of steps falls
at a few places, and is level in between.

Sources: K30 (stability-scaling §3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import minimize_scalar

from diagnose.run import Series, Values
from diagnose.schedule_curves import cosine, exponential, polynomial
from diagnose.schedules import ROSE, warmup_steps

NEAR: Final = 0.02  # of the peak, root mean square: what a fit may be off by, as logged rates are exact
FEWEST: Final = 10  # rates after warmup: fewer fit anything
POWERS: Final = (0.5, 8.0)
LEVEL: Final = 1e-6  # relative: two rates that are the same
FEW_FALLS: Final = 0.1  # of the rates: more places than this, and it is a curve
FEW_PLACES: Final = 6  # falls of a schedule of steps; more may be a curve that goes on once an epoch
HARDLY: Final = 0.9  # of the peak: whose last rate lies above it hardly falls, and any curve fits it


@dataclass(frozen=True)
class NamedSchedule:
    """The curve that fits best, and how it runs: `end` is its last rate, `error` the fit's, as a share of the peak.

    `name` is "constant", "linear", "polynomial", "cosine", "exponential", "steps", or "cycles" where the rate rises
    again after its first fall; with "warmup + " before it where there was one. `power` is the polynomial's.
    """

    name: str
    warmup_steps: int
    peak: float
    end: float
    error: float
    power: float | None = None


def named_schedule(lr: Series | None) -> NamedSchedule | None:
    """The schedule's name; None where too few rates were logged, or none of the curves fits."""
    if lr is None or len(lr.finite) < FEWEST or not lr.finite.values.max() > 0:
        return None
    warmup = warmup_steps(lr)
    steps, values = lr.finite.steps, lr.finite.values / lr.finite.values.max()
    after = steps >= lr.start + warmup
    x, rate = steps[after].astype(np.float64), values[after]
    if len(x) < FEWEST:
        return None
    fit = _fitted((x - x[0]) / (x[-1] - x[0]), rate)
    if fit is None:
        return None
    name, error, power = fit
    peak = float(lr.finite.values.max())
    prefix = "warmup + " if warmup else ""
    return NamedSchedule(prefix + name, warmup, peak, peak * float(rate[-1]), error, power)


def _fitted(x: Values, rate: Values) -> tuple[str, float, float | None] | None:
    """Name, error and power of the curve that fits best."""
    if np.ptp(rate) <= LEVEL:
        return "constant", 0.0, None
    if (rate > ROSE * np.minimum.accumulate(rate)).any():
        return "cycles", 0.0, None
    falls = int((np.diff(rate) < -LEVEL * rate[:-1]).sum())
    if falls > max(FEW_FALLS * len(rate), 1):
        return _curve(x, rate, float(rate[-1]))
    plateaus = np.r_[0, np.flatnonzero(np.diff(rate) < -LEVEL * rate[:-1]) + 1]  # a curve may go on once an epoch
    if falls <= FEW_PLACES:
        return "steps", 0.0, None
    to_zero = _curve(x[plateaus], rate[plateaus], 0.0)  # where one more epoch would have ended it
    return to_zero or _curve(x[plateaus] / x[plateaus[-1]], rate[plateaus], float(rate[-1])) or ("steps", 0.0, None)


def _curve(x: Values, rate: Values, end: float) -> tuple[str, float, float | None] | None:
    errors = {name: _error(curve(x, end), rate) for name, curve in CURVES.items()}
    name = min(errors, key=lambda one: errors[one])
    if errors[name] <= NEAR / 4 or end > HARDLY:
        return (name, errors[name], None) if errors[name] <= NEAR else None
    power, error = _power(x, rate, end)
    if error < errors[name]:
        return ("polynomial", error, power) if error <= NEAR else None
    return (name, errors[name], None) if errors[name] <= NEAR else None


CURVES: Final[Mapping[str, Callable[[Values, float], Values]]] = {
    "linear": polynomial, "cosine": cosine, "exponential": exponential,
}  # fmt: skip


def _power(x: Values, rate: Values, end: float) -> tuple[float, float]:
    """The polynomial's power that fits best, and its error."""
    found = minimize_scalar(lambda power: _error(polynomial(x, end, power), rate), bounds=POWERS, method="bounded")
    return float(found.x), float(found.fun)


def _error(curve: Values, rate: Values) -> float:
    return float(np.sqrt(np.mean((curve - rate) ** 2)))
