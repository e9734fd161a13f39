"""Titration: once a training is healthy, its dose is taken further, as long as that helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import Final

from diagnose.diagnosis import Change, Diagnosis
from diagnose.prescriptions.doses.fit import train_longer
from diagnose.prescriptions.following import followers
from diagnose.prescriptions.planner import HELD
from diagnose.prescriptions.remedies import known_remedies
from diagnose.prescriptions.settings import settings_of

# How much further, upwards or downwards, in smaller steps than the first dose: the run is in its good range (K05, K81).
STEPS: Final[Mapping[str, float]] = {
    "lr": 3.0, "batch_size": 2.0, "width": 2.0, "dropout": 2.0, "weight_decay": 10.0, "max_norm": 3.0,
}  # fmt: skip
BECAUSE = "It is healthy now; a little further, to see whether the validation loss goes lower still."


def further(diagnosis: Diagnosis, made: Sequence[Change]) -> tuple[Change, ...]:
    """The next, smaller dose after `made` has made a run healthy.

    The first numeric change that led a move is taken further, with what is coupled to it; a rate that was lowered goes
    half of the way back (in the logarithm), between what was too high and what is healthy. Where none was numeric, and
    where a run that is still falling was given no higher rate, it is trained longer (K41).
    """
    falling = any(finding.id == "undertrained" for finding in diagnosis.findings)
    if falling and not any(_raises_the_rate(change) for change in made):
        return _longer(diagnosis)
    for change in made:
        wanted = _beyond(change)
        if change.coupled_to is None and wanted is not None:
            settings = settings_of(diagnosis.run)
            value = settings.clamped(change.setting, float(f"{wanted:.3g}"))
            lead = replace(change, before=change.after, after=value, because=BECAUSE)
            held = HELD.get(change.remedy, ())
            return (lead, *followers([lead], settings.with_(change.setting, change.after), hold=held))
    return _longer(diagnosis)


def _beyond(change: Change) -> float | None:
    step, before, after = STEPS.get(change.setting), change.before, change.after
    if step is None or not isinstance(after, int | float) or not after:
        return None
    if not isinstance(before, int | float):
        return after / step if change.setting == "max_norm" else after * step  # without clipping the limit was infinite
    if after > before:
        return after * step
    return sqrt(before * after) if change.setting == "lr" else after / step


def _raises_the_rate(change: Change) -> bool:
    before, after = change.before, change.after
    if change.setting != "lr" or change.coupled_to is not None:
        return False
    return isinstance(before, int | float) and isinstance(after, int | float) and after > before


def _longer(diagnosis: Diagnosis) -> tuple[Change, ...]:
    dose, remedy = train_longer(diagnosis.run, {}), known_remedies()["train_longer"]
    lead = Change(
        remedy.id, remedy.title, dose.setting, dose.before, dose.after, BECAUSE, remedy.sources,
        watch=remedy.watch, refuted_by=remedy.refuted_by,
    )  # fmt: skip
    return (lead, *followers([lead], settings_of(diagnosis.run)))
