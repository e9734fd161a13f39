"""What differs in the outcome of two runs, and whether by more than chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import hypot, inf, isfinite
from typing import Literal

import numpy as np

from diagnose import curves
from diagnose.chance import VALIDATION_ACCURACY
from diagnose.diagnosis import Diagnosis
from diagnose.run import Run, Series
from diagnose.signals import SHARPNESS, TRAIN_LOSS, VALIDATION_LOSS

Side = Literal["a", "b"]
ERRORS = 4.0  # standard errors of the end's level: less is the run's own noise
OF_FALL = 0.05  # of the larger fall: what two seeds of one set-up differ by (recorded sound runs)
OF_ACCURACY = 0.02  # two points in a hundred
FEWEST_LOOKS = 3  # at the curvature
LAST_LOOKS = 1 / 3  # of them: each saw a few samples alone, and their median is the end's
FLATTER = 1.5  # times: ten Lanczos steps on a part of a batch tell no smaller difference
OTHER_SCALE = 3.0  # times: first losses this far apart are of different things
SEVERITIES = ("healthy", "info", "warning", "critical")


@dataclass(frozen=True)
class Outcome:
    """One result in both runs. `better` names the side that is better beyond chance, None where none is.

    `noise` is how far apart they might lie by chance, in the result's own unit.
    """

    name: str
    a: float | str | None
    b: float | str | None
    noise: float = 0.0
    better: Side | None = None


def outcomes(a: Diagnosis, b: Diagnosis, *, comparable: bool) -> tuple[Outcome, ...]:
    """Health; losses, accuracy and sharpness at the end or at their best.

    Losses of different kinds name no better side.
    """
    return tuple(_outcomes(a, b, comparable=comparable))


def comparable_losses(a: Run, b: Run) -> bool:
    """Whether the losses begin at about the same height, as those of one task do.

    A run that is thrown by its first steps begins there all the same; where a log lacks the loss nothing is known.
    """
    first = [_first(run) for run in (a, b)]
    if None in first or first[0] == first[1]:
        return True
    low, high = sorted(abs(value) for value in first if value is not None)
    return high <= OTHER_SCALE * low or high == 0


def _outcomes(a: Diagnosis, b: Diagnosis, *, comparable: bool) -> Iterator[Outcome]:
    ranks = [SEVERITIES.index(_health(each)) if not each.healthy else 0 for each in (a, b)]
    yield Outcome("health", _health(a), _health(b), better=_lower(*ranks))
    # A validation that begins after the first descent falls less than the run did.
    fall = max(
        (_fall(s) for each in (a, b) for n in (TRAIN_LOSS, VALIDATION_LOSS) if (s := each.run.scalar(n))), default=0.0
    )
    for name, signal in (("training loss", TRAIN_LOSS), ("validation loss", VALIDATION_LOSS)):
        pair = a.run.scalar(signal), b.run.scalar(signal)
        if pair[0] is not None and pair[1] is not None:
            yield _level(f"{name} at the end", pair[0], pair[1], fall, comparable=comparable)
    held_out = a.run.scalar(VALIDATION_LOSS), b.run.scalar(VALIDATION_LOSS)
    if held_out[0] is not None and held_out[1] is not None and all(len(s.finite) for s in held_out if s is not None):
        yield _best(held_out[0], held_out[1], fall, comparable=comparable)
    accuracy = a.run.scalar(VALIDATION_ACCURACY), b.run.scalar(VALIDATION_ACCURACY)
    if accuracy[0] is not None and accuracy[1] is not None:
        yield _accuracy(accuracy[0], accuracy[1], comparable=comparable)
    looks = a.run.scalar(SHARPNESS), b.run.scalar(SHARPNESS)
    if looks[0] is not None and looks[1] is not None and all(len(s.finite) >= FEWEST_LOOKS for s in looks if s):
        yield _sharpness(looks[0], looks[1], comparable=comparable)
    yield Outcome("steps", float(a.run.length), float(b.run.length))


def _health(diagnosis: Diagnosis) -> str:
    return "healthy" if diagnosis.healthy or diagnosis.worst is None else diagnosis.worst.value


def _level(name: str, a: Series, b: Series, fall: float, *, comparable: bool) -> Outcome:
    ends = _end(a), _end(b)
    noise = hypot(_error(a), _error(b)) * ERRORS + OF_FALL * fall
    return Outcome(name, _shown(ends[0]), _shown(ends[1]), noise, _lower(*ends, noise) if comparable else None)


def _best(a: Series, b: Series, fall: float, *, comparable: bool) -> Outcome:
    best = float(a.finite.values.min()), float(b.finite.values.min())
    noise = OF_FALL * fall + max(curves.step_noise(a.finite.values), curves.step_noise(b.finite.values))
    return Outcome("best validation loss", best[0], best[1], noise, _lower(*best, noise) if comparable else None)


def _accuracy(a: Series, b: Series, *, comparable: bool) -> Outcome:
    ends = _end(a), _end(b)
    scale = 100.0 if max((s.finite.values.max() for s in (a, b) if len(s.finite)), default=0.0) > 1 else 1.0  # per cent
    noise = hypot(_error(a), _error(b)) * ERRORS + OF_ACCURACY * scale
    short = [scale - end if isfinite(end) else inf for end in ends]
    better = _lower(short[0], short[1], noise) if comparable else None
    return Outcome("validation accuracy at the end", _shown(ends[0]), _shown(ends[1]), noise, better)


def _sharpness(a: Series, b: Series, *, comparable: bool) -> Outcome:
    looks = a.finite.values, b.finite.values
    ends = [float(np.median(each[-max(round(LAST_LOOKS * len(each)), FEWEST_LOOKS) :])) for each in looks]
    noise = (1 - 1 / FLATTER) * max(map(abs, ends))
    better = _lower(ends[0], ends[1], noise) if comparable else None
    return Outcome("sharpness (λ_max) at the end", ends[0], ends[1], noise, better)


def _lower(a: float, b: float, noise: float = 0.0) -> Side | None:
    if a == b or (isfinite(a) and isfinite(b) and abs(a - b) <= noise):
        return None
    return "a" if a < b else "b"


def _end(series: Series) -> float:
    """The last level, infinite where the series ends in no number."""
    return curves.reduced(series).last_level if np.isfinite(series.values[-1]) else inf


def _error(series: Series) -> float:
    """The standard error of the last level."""
    values = series.finite.values
    if not len(values):
        return 0.0
    tenth = max(1, int(len(values) * curves.END_SHARE))
    return float(curves.step_noise(values[-max(3 * tenth, curves.MIN_POINTS) :]) / tenth**0.5)


def _fall(series: Series) -> float:
    finite = series.finite
    return max(curves.start_level(series) - curves.reduced(series).last_level, 0.0) if len(finite) else 0.0


def _first(run: Run) -> float | None:
    series = run.scalar(TRAIN_LOSS) or run.scalar(VALIDATION_LOSS)
    return float(series.finite.values[0]) if series is not None and len(series.finite) else None


def _shown(value: float) -> float | None:
    return value if isfinite(value) else None
