"""The curves of the usual learning-rate schedules, and the course of a rate that a schedule's name stands for.

Each curve is the share of the peak that is left at the share x of the steps after warmup, from 1 down to the last
share e:

    constant      1
    linear        1 − (1 − e) x
    polynomial    (1 − (1 − e^(1/p)) x)^p with a power p
    cosine        e + (1 − e) (1 + cos πx) / 2
    exponential   e^x, e being that share

Sources: K30 (stability-scaling §3); cosine: Loshchilov & Hutter 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from diagnose.run import Values

DROPS_AT, DROPS_BY = (1 / 3, 2 / 3), 0.1  # a step decay as it is usually set: a tenth, after each third
USUAL: Final = "cosine"  # with a linear warmup the strong default: K31 (interdependencies §11)


def constant(x: Values, _: float) -> Values:
    """1 over x in [0, 1]."""
    return np.ones_like(x)


def cosine(x: Values, end: float) -> Values:
    """From 1 to `end` over x in [0, 1], level at both ends."""
    return end + (1 - end) * (1 + np.cos(np.pi * x)) / 2


def polynomial(x: Values, end: float, power: float = 1.0) -> Values:
    """From 1 to `end` over x in [0, 1]; linear at power 1."""
    return np.asarray((1 - (1 - end ** (1 / power)) * x) ** power, np.float64)


def exponential(x: Values, end: float) -> Values:
    """From 1 to `end` over x in [0, 1] by one factor a step; an end of 0 stands for a millionth."""
    return np.asarray(max(end, 1e-6) ** x, np.float64)


def _steps(x: Values, _: float) -> Values:
    drops = [np.where(x < at, 1.0, DROPS_BY) for at in DROPS_AT]
    return np.asarray(np.prod(drops, axis=0), np.float64)


# What each stands for in words, where it ends at zero. Their names are looked for in a scheduler's in this order.
COURSES: Final[Mapping[str, tuple[str, Callable[[Values, float], Values]]]] = {
    "constant": ("held", constant),
    "linear": ("a straight fall to zero", polynomial),
    "polynomial": ("a straight fall to zero", polynomial),  # power 1: torch's default, Transformers' and Keras'
    "exponential": ("one factor a step, to a millionth", exponential),
    "step": ("a tenth after each third", _steps),
    "cosine": ("a cosine to zero", cosine),
    "onecycle": ("a cosine to zero", cosine),
}


def shape_of(scheduler: str) -> str:
    """Which of the known shapes a scheduler's name tells; a cosine where it tells none."""
    return _known(scheduler) or USUAL


def in_words(scheduler: str) -> str:
    """What the rate does after the warmup, in words; of a name that tells no shape, that it is not known."""
    words = COURSES[shape_of(scheduler)][0]
    return f"{words}, as {scheduler} tells no shape" if scheduler and not _known(scheduler) else words


def course(scheduler: str, peak: float, steps: Values, warmup: float, length: float) -> Values:
    """The rate at each of `steps`: a linear rise over `warmup` to `peak`, then the scheduler's shape to the end."""
    done = np.clip((steps - warmup) / max(length - warmup, 1.0), 0, 1)
    falling = COURSES[shape_of(scheduler)][1](done, 0.0)
    return peak * np.where(steps < warmup, risen(steps, warmup), falling)


def risen(steps: Values, warmup: float) -> Values:
    """The share of the peak in a linear warmup after `steps` optimizer steps: nothing at first, all after `warmup`.

    So it is with torch's LinearLR and with Transformers' schedules, and so a real run logs it.
    """
    return np.asarray(steps / max(warmup, 1.0), np.float64)


def _known(scheduler: str) -> str | None:
    name = scheduler.lower().replace("_", "")
    return next((word for word in COURSES if word in name), None)
