"""The schedule that ran and the one that is advised, each with the numbers to draw it and in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from diagnose.diagnosis import Change, Diagnosis
from diagnose.facts import planned_peak
from diagnose.prescriptions.doses.rate import borne_before_a_jump
from diagnose.prescriptions.settings import settings_of
from diagnose.reports.numbers import shown
from diagnose.run import Run, Series, Steps, Values
from diagnose.schedule_curves import constant, cosine, exponential, polynomial, risen
from diagnose.schedule_names import named_schedule
from diagnose.schedules import ROSE, warmup_steps
from diagnose.signals import LR

Shape = Literal[
    "constant", "linear", "cosine", "exponential", "polynomial", "step decay", "one cycle", "restarts", "another shape"
]

FEW: Final = 5  # logged rates: fewer show no shape
NOTHING: Final = 1e-3  # of the peak: a decay that ends below ends at about 0
CYCLE: Final = 0.2  # of the run: a rise that takes longer, and a fall below where it began, are one cycle
FORMULAS: Final[Mapping[Shape, Callable[[Values, float], Values]]] = {
    "constant": constant, "linear": polynomial, "cosine": cosine, "exponential": exponential,
}  # fmt: skip
SHAPES: Final[Mapping[str, Shape]] = {
    "constant": "constant", "linear": "linear", "cosine": "cosine", "exponential": "exponential",
    "polynomial": "polynomial", "steps": "step decay", "cycles": "restarts",
}  # fmt: skip
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
    s = np.asarray(since_start, np.float64)
    done = np.clip((s - schedule.warmup) / max(schedule.end - schedule.warmup, 1), 0, 1)
    body = FORMULAS[schedule.shape](done, schedule.final / schedule.peak)
    return schedule.peak * np.where(s < schedule.warmup, risen(s, schedule.warmup), body)


def ran(lr: Series | None) -> Schedule | None:
    """The schedule that a logged rate followed; None where too little was logged, or no rate above 0."""
    if lr is None or len(lr.finite) < FEW or not float(lr.finite.values.max()) > 0:
        return None
    warmup, end = warmup_steps(lr), int(lr.finite.steps[-1]) - lr.start
    peak, final = float(lr.finite.values.max()), float(lr.finite.values[-1])
    if warmup > CYCLE * end and final < lr.finite.values[0]:
        return Schedule("one cycle", peak, final, warmup, end)
    found = named_schedule(lr)
    shape = SHAPES.get(found.name.removeprefix("warmup + "), "another shape") if found else "another shape"
    if shape == "restarts" and lr.finite.values[lr.finite.steps - lr.start >= warmup][0] <= peak / ROSE:
        shape = "another shape"  # what only rises comes round to nothing
    return Schedule(shape, peak, final, warmup, end)


def recommended(diagnosis: Diagnosis) -> Schedule | None:
    """The schedule with the prescription's changes; None where it changes none, or has no number to draw."""
    changes = {change.setting: change for change in diagnosis.prescription.changes if change.setting in PULLED}
    present = ran(diagnosis.run.scalar(LR)) or _planned(diagnosis.run)
    if not changes or present is None:
        return None
    steps = settings_of(diagnosis.run).steps
    shape = _shape_after(changes.values(), present)
    borne = borne_before_a_jump(diagnosis.run) if "scheduler" in changes else None
    peak = _number(changes.get("lr"), borne or present.peak)
    falls = shape != "constant"
    final = present.final * peak / present.peak if falls and shape == present.shape else 0.0 if falls else peak
    warmup = round(_number(changes.get("warmup_steps"), present.warmup))
    end = round(_number(changes.get("decay_steps"), max(steps or 0, present.end)))
    return Schedule(shape, peak, final, min(warmup, end), end)


def _shape_after(changes: Iterable[Change], present: Schedule) -> Shape:
    """The advised shape; what has no formula is drawn as the cosine that stands in for it."""
    words = " ".join(str(change.after) for change in changes if change.setting in {"scheduler", "decay_steps"}).lower()
    for shape in FORMULAS:
        if shape in words:
            return shape
    return present.shape if present.shape in FORMULAS else "cosine"


def _planned(run: Run) -> Schedule | None:
    peak = planned_peak(run)
    return Schedule("constant", peak, peak, 0, run.length) if peak and peak > 0 and run.length else None


def _number(change: Change | None, otherwise: float) -> float:
    after = change.after if change is not None else None
    return float(after) if isinstance(after, int | float) and not isinstance(after, bool) and after > 0 else otherwise
