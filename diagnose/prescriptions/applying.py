"""Putting a prescription into a config: what a program can change, and what is left to a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose
from typing import Any, Final

from diagnose.diagnosis import Change, Prescription
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS, canonical
from diagnose.prescriptions.settings import Settings, from_config

SAME = 0.01  # relative
LENGTHS: Final = {"steps": "epochs", "epochs": "steps"}
SEVERAL: Final = ("lr", *LENGTHS)  # a peak beside a base rate, epochs beside steps
ONE_STEP: Final = ("batch_size", "accumulation_steps")  # a step's samples: one without the other is another change

Config = Mapping[str, Any]
Places = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Applied:
    """A new config, the changes that are in it, and those that it has no place for."""

    config: dict[str, Any]
    made: tuple[Change, ...]
    left: tuple[Change, ...]


def apply(prescription: Prescription, config: Config) -> Applied:
    """The config with every change that it has a place for; the given one is left as it is.

    A setting is changed under the name that the config has for it and in its unit (`warmup_epochs`, `warmup_ratio`);
    None there counts as “off, but understood”. Where the config's value differs from the one that the run showed (a
    peak rate against a base rate, a micro-batch against a whole one), its own is scaled by the same ratio; so are all
    keys of the rate and the length (`lr` and `max_lr`, `epochs` and `total_steps`). Of another setting's several keys
    only those with the value that the run showed are changed.
    What the config does not hold, words where it holds a number, what it holds a list or a mapping for, and what only
    a person can do, is left, and so is what follows a change that was left, and a batch without the accumulation that
    was to make up for it.
    """
    new = dict(config)
    made: list[Change] = []
    left: list[Change] = []
    places = _places(config)
    for change in prescription.changes:
        placed = None if _lost(change, prescription, left, places, new) else _placed(change, places, new)
        if placed is None:
            left.append(change)
        elif any(new[name] != value for name, value in placed.items()):  # what is so already is neither
            new.update(placed)
            made.append(change)
    return Applied(new, tuple(made), tuple(left))


def _places(config: Config) -> Places:
    """By our names, the keys that hold a setting."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in config.items():
        if isinstance(name, str):
            known = canonical(name, value)
            found[known] = (*found.get(known, ()), name)
    return found


def _lost(change: Change, prescription: Prescription, left: list[Change], places: Places, config: Config) -> bool:
    """Whether the change means nothing, or something else, without one that finds no place."""
    if change.coupled_to is not None and any(each.remedy == change.coupled_to for each in left):
        return True
    if change.coupled_to is None or change.setting not in ONE_STEP:
        return False
    pair = [c for c in prescription.changes if c.setting in ONE_STEP and c.coupled_to == change.coupled_to]
    return any(_placed(each, places, config) is None for each in pair)


def _placed(change: Change, places: Places, config: Config) -> dict[str, Any] | None:
    """The config's keys with their new values; None where it has no place for the change."""
    after = change.after
    if change.setting == "warmup_steps" and isinstance(after, int | float) and "warmup_steps" not in places:
        return _warmup_elsewhere(float(after), places, from_config(config))
    if change.setting in LENGTHS:  # the run tells its length in both
        both = [*_held(change.setting, places), *_held(LENGTHS[change.setting], places)]
        return _scaled(change, both, config)
    if isinstance(after, int | float) and not isinstance(after, bool):
        return _scaled(change, _held(change.setting, places), config)
    return _named(change, places.get(change.setting, ()), config)


def _held(setting: str, places: Places) -> list[tuple[str, str]]:
    return [(setting, name) for name in places.get(setting, ())]


def _named(change: Change, names: tuple[str, ...], config: Config) -> dict[str, Any] | None:
    """A word or a yes or no, in place of another."""
    known = HYPERPARAMETERS.get(change.setting)
    if len(names) != 1 or known is None or not known.switched:
        return None
    (name,) = names
    return {name: change.after} if config[name] is None or isinstance(config[name], str | bool) else None


def _scaled(change: Change, held: list[tuple[str, str]], config: Config) -> dict[str, Any] | None:
    """A number, under every key that holds one for the setting; under the only key where it holds none yet."""
    own = {name: from_config({setting: config[name]}).values.get(setting) for setting, name in held}
    numbers = {name: value for name, value in own.items() if isinstance(value, int | float)}
    numbers = _meant(change, numbers)
    setting_of = {name: setting for setting, name in held}
    if not any(isinstance(value, int | float) for value in own.values()):
        free = [name for name in own if config[name] is None and setting_of[name] == change.setting][:1]
        numbers = dict.fromkeys(free, 0)
    values = {name: _value(change, setting_of[name], number) for name, number in numbers.items()}
    if not values or any(value is None for value in values.values()):
        return None
    return values


def _meant(change: Change, numbers: dict[str, float]) -> dict[str, float]:
    """Of several keys those that mean the setting: none that is off beside one that is on, and but for the rate and the
    length, of which a config may hold several, those with the value that the run showed.
    """
    on = {name: value for name, value in numbers.items() if value} or numbers
    if len(on) < 2 or change.setting in SEVERAL:
        return on
    before = change.before
    if not isinstance(before, int | float):
        return {}
    return {name: value for name, value in on.items() if isclose(value, before, rel_tol=SAME)}


def _value(change: Change, setting: str, own: float) -> float | None:
    """What becomes of one key's number; None where its ratio to what the run showed is not known."""
    before, after = change.before, change.after
    if not isinstance(after, int | float):
        return None
    value = float(after)
    if isinstance(before, int | float) and before and own:
        value = value if isclose(own, before, rel_tol=SAME) else float(f"{own * after / before:.3g}")
    elif own and setting != change.setting:
        return None
    known = HYPERPARAMETERS[setting]
    if not known.whole or not (isinstance(own, int) or (value >= 1 and float(own).is_integer())):
        return value
    nearest = max(round(value), int(known.least))
    return None if own and nearest == own and not isclose(value, own, rel_tol=SAME) else nearest


def _warmup_elsewhere(steps: float, places: Places, settings: Settings) -> dict[str, Any] | None:
    if "warmup_epochs" in places and settings.steps_per_epoch:
        return {places["warmup_epochs"][0]: float(f"{steps / settings.steps_per_epoch:.3g}")}
    if "warmup_ratio" in places and settings.steps:
        return {places["warmup_ratio"][0]: float(f"{steps / settings.steps:.3g}")}
    return None
