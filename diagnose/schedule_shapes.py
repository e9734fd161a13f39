"""The usual learning-rate schedules: their formulas, which of them a logged rate followed, and which is advised.

With `s` steps since the start, warmup W, end T and t = (s − W) / (T − W):

  warmup       η = peak · (s + 1) / W
  constant     η = peak
  linear       η = final + (peak − final) · (1 − t)
  cosine       η = final + (peak − final) · (1 + cos πt) / 2      (Loshchilov & Hutter 2017)
  exponential  η = peak · (final / peak)^t
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from diagnose.diagnosis import Change, Diagnosis
from diagnose.facts import planned_peak
from diagnose.prescriptions.doses.rate import borne_before_a_jump
from diagnose.prescriptions.settings import settings_of
from diagnose.reports.numbers import shown
from diagnose.run import Run, Series, Steps, Values
from diagnose.schedules import FELL, RISEN, ROSE, rate_rises, warmup_steps
from diagnose.signals import LR

Shape = Literal["constant", "linear", "cosine", "exponential", "step decay", "one cycle", "restarts", "another shape"]

FEW: Final = 5  # logged rates: fewer show no shape
CLOSE: Final = 0.02  # of the peak: root mean square distance of a schedule that is followed
SAMPLED: Final = 2_000  # rates: as many show a shape
MOST_DROPS: Final = 12  # of a step decay
NOTHING: Final = 1e-3  # of the peak: a decay that ends below ends at about 0
CYCLE: Final = 0.2  # of the run: a rise that takes longer, and a fall below where it began, are one cycle
FORMULAS: Final[tuple[Shape, ...]] = ("constant", "linear", "cosine", "exponential")
PULLED: Final = ("lr", "warmup_steps", "scheduler", "decay_steps")


@dataclass(frozen=True)
class Schedule:
    """A schedule by its shape: warmup and end in steps since the start, peak and final rate."""

    shape: Shape
    peak: float
    final: float
    warmup: int
    end: int

    def told(self) -> str:
        """In words: "a warmup of 20 steps to 0.1, then cosine to 0.001"."""
        peak, to = shown(self.peak), "about 0" if self.final < NOTHING * self.peak else shown(self.final)
        if self.shape == "one cycle":
            return f"one cycle, up to {peak} at step {self.warmup:,} and down to {to}"
        if self.shape == "restarts":
            return f"from {peak}, with restarts, to {to}"
        if self.warmup:
            then = "constant" if self.shape == "constant" else f"{self.shape} to {to}"
            return f"a warmup of {self.warmup:,} steps to {peak}, then {then}"
        return f"constant at {peak}" if self.shape == "constant" else f"from {peak} by {self.shape} to {to}"


def rates(schedule: Schedule, since_start: Steps) -> Values:
    """The rate at each step; only for the shapes that have a formula. Raises `KeyError` for others."""
    peak, final = schedule.peak, schedule.final
    s = np.asarray(since_start, np.float64)
    t = np.clip((s - schedule.warmup) / max(schedule.end - schedule.warmup, 1), 0, 1)
    fallen: dict[Shape, Values] = {
        "constant": np.zeros(len(s)),
        "linear": t,
        "cosine": (1 - np.cos(np.pi * t)) / 2,
    }
    exponential = schedule.shape == "exponential"
    body = (
        peak * (max(final, 1e-12 * peak) / peak) ** t if exponential else peak + (final - peak) * fallen[schedule.shape]
    )
    return np.where(s < schedule.warmup, peak * (s + 1) / max(schedule.warmup, 1), body)


def named(lr: Series | None) -> Schedule | None:
    """The schedule that a logged rate followed; None where too little was logged, or no rate above 0."""
    if lr is None or len(lr.finite) < FEW or not float(lr.finite.values.max()) > 0:
        return None
    sound = lr.finite
    warmup, start = warmup_steps(lr), lr.start
    end = int(sound.steps[-1]) - start
    plain = Schedule("constant", float(sound.values.max()), float(sound.values[-1]), warmup, end)
    after = sound.steps - start >= warmup
    since, values = sound.steps[after] - start, sound.values[after]
    return replace(plain, shape=_shape(plain, lr, since, values))


def _shape(plain: Schedule, lr: Series, since: Steps, values: Values) -> Shape:
    if float(values.min()) >= RISEN * plain.peak:
        return "constant"
    if plain.warmup > CYCLE * plain.end and values[-1] < lr.finite.values[0]:
        return "one cycle"
    if rate_rises(lr, int(since[0]) + lr.start, int(lr.steps[-1])):
        return "restarts" if values[0] > values.max() / ROSE else "another shape"
    falls = np.flatnonzero(np.diff(values) < 0)
    if (
        0 < len(falls) <= min(MOST_DROPS, len(values) // 3)
        and (values[falls + 1] < values[falls] / (ROSE * FELL)).any()
    ):
        return "step decay"
    every = len(values) // SAMPLED + 1
    since, values = since[::every], values[::every]
    distance = {shape: _distance(replace(plain, shape=shape), since, values) for shape in FORMULAS[1:]}
    closest = min(distance, key=lambda shape: distance[shape])
    return closest if distance[closest] < CLOSE else "another shape"


def _distance(schedule: Schedule, since: Steps, values: Values) -> float:
    return float(np.sqrt(np.mean((rates(schedule, since) - values) ** 2))) / schedule.peak


def recommended(diagnosis: Diagnosis) -> Schedule | None:
    """The schedule with the prescription's changes; None where it changes none, or has no number to draw."""
    changes = {change.setting: change for change in diagnosis.prescription.changes if change.setting in PULLED}
    ran = named(diagnosis.run.scalar(LR)) or _planned(diagnosis.run)
    if not changes or ran is None:
        return None
    steps = settings_of(diagnosis.run).steps
    shape = _shape_after(changes.values(), ran)
    borne = borne_before_a_jump(diagnosis.run) if "scheduler" in changes else None
    peak = _number(changes.get("lr"), borne or ran.peak)
    falls = shape != "constant"
    final = ran.final * peak / ran.peak if falls and shape == ran.shape else 0.0 if falls else peak
    warmup = round(_number(changes.get("warmup_steps"), ran.warmup))
    end = round(_number(changes.get("decay_steps"), max(steps or 0, ran.end)))
    return Schedule(shape, peak, final, min(warmup, end), end)


def _shape_after(changes: Iterable[Change], ran: Schedule) -> Shape:
    """The advised shape; what has no formula is drawn as the cosine that stands in for it."""
    words = " ".join(str(change.after) for change in changes if change.setting in {"scheduler", "decay_steps"}).lower()
    for shape in FORMULAS:
        if shape in words:
            return shape
    return ran.shape if ran.shape in FORMULAS else "cosine"


def _planned(run: Run) -> Schedule | None:
    peak = planned_peak(run)
    return Schedule("constant", peak, peak, 0, run.length) if peak and peak > 0 and run.length else None


def _number(change: Change | None, otherwise: float) -> float:
    after = change.after if change is not None else None
    return float(after) if isinstance(after, int | float) and not isinstance(after, bool) and after > 0 else otherwise
