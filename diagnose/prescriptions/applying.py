"""Putting a prescription into a config: what a program can change, and what is left to a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose
from typing import Any

from diagnose.diagnosis import Change, Prescription
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS, canonical
from diagnose.prescriptions.settings import Settings, from_config

SAME = 0.01  # relative
LENGTHS = {"steps": "epochs", "epochs": "steps"}


@dataclass(frozen=True)
class Applied:
    """A new config, the changes that are in it, and those that it has no place for."""

    config: dict[str, Any]
    made: tuple[Change, ...]
    left: tuple[Change, ...]


def apply(prescription: Prescription, config: Mapping[str, Any]) -> Applied:
    """The config with every change that it has a place for; the given one is left as it is.

    A setting is changed under the name that the config has for it and in its unit (`warmup_epochs`, `warmup_ratio`);
    None there counts as “off, but understood”. Where the config's value differs from the one that the run showed (a
    peak rate against a base rate, a micro-batch against a whole one), its own is scaled by the same ratio.
    What the config does not hold, words where it holds a number, and what only a person can do, is left, and so is
    what follows a change that was left. Of two keys for one setting the first counts.
    """
    new = dict(config)
    made: list[Change] = []
    left: list[Change] = []
    places: dict[str, str] = {}
    for name in config:
        if isinstance(name, str):
            places.setdefault(canonical(name), name)
    for change in prescription.changes:
        leaderless = change.coupled_to is not None and any(each.remedy == change.coupled_to for each in left)
        place = None if leaderless else _place(change, places, new)
        if place is None:
            left.append(change)
        elif new[place[0]] != place[1]:  # what is so already is neither
            new[place[0]] = place[1]
            made.append(change)
    return Applied(new, tuple(made), tuple(left))


def _place(change: Change, places: Mapping[str, str], config: Mapping[str, Any]) -> tuple[str, Any] | None:
    """The config's key and its new value; None where it has no place for the change."""
    after = change.after
    if change.setting == "warmup_steps" and isinstance(after, int | float) and "warmup_steps" not in places:
        return _warmup_elsewhere(float(after), places, from_config(config))
    other = LENGTHS.get(change.setting)
    if other and change.setting not in places and other in places:  # the run tells its length in both, the config once
        return _scaled(other, places[other], change, config)
    name = places.get(change.setting)
    if name is None:
        return None
    if isinstance(after, int | float) and not isinstance(after, bool):
        return _scaled(change.setting, name, change, config)
    present = config[name]
    numeric = isinstance(present, int | float) and not isinstance(present, bool)
    known = HYPERPARAMETERS.get(change.setting)
    if numeric or known is None or not known.switched:
        return None
    return name, after


def _scaled(setting: str, name: str, change: Change, config: Mapping[str, Any]) -> tuple[str, Any] | None:
    own, before, after = from_config({setting: config[name]}).values.get(setting), change.before, change.after
    if not isinstance(after, int | float):
        return None
    value = float(after)
    if isinstance(own, int | float) and own and isinstance(before, int | float) and before:
        if not isclose(own, before, rel_tol=SAME):
            value = float(f"{own * after / before:.3g}")
    elif isinstance(own, str):
        return None
    whole = HYPERPARAMETERS[setting].whole and (own is None or value >= 1)
    if isinstance(own, float) and not own.is_integer():
        whole = False
    return name, round(value) if whole else value


def _warmup_elsewhere(steps: float, places: Mapping[str, str], settings: Settings) -> tuple[str, Any] | None:
    if "warmup_epochs" in places and settings.steps_per_epoch:
        return places["warmup_epochs"], float(f"{steps / settings.steps_per_epoch:.3g}")
    if "warmup_ratio" in places and settings.steps:
        return places["warmup_ratio"], float(f"{steps / settings.steps:.3g}")
    return None
