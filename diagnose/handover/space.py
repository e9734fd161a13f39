"""The search space of a prescription: its leads as dimensions, its couplings kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

from diagnose.diagnosis import Change, Prescription, Setting
from diagnose.prescriptions.applying import apply
from diagnose.prescriptions.following import followers
from diagnose.prescriptions.planner import HELD
from diagnose.prescriptions.settings import NOTHING, Settings, from_config, settings_of
from diagnose.run import Run

MOST_DIMENSIONS = 3  # K83: few parameters at once
# Discrete steps around the recommended value (K83): factors for scales, doublings for sizes, sums for shares.
FACTORS: Final[Mapping[str, float]] = {
    "lr": 3.0, "weight_decay": 10.0, "max_norm": 3.0, "batch_size": 2.0, "accumulation_steps": 2.0, "width": 2.0,
    "epochs": 1.5, "steps": 1.5, "warmup_steps": 2.0, "depth": 1.5, "decay_steps": 1.5,
}  # fmt: skip
SUMMANDS: Final[Mapping[str, float]] = {"dropout": 0.1, "momentum": 0.05, "label_smoothing": 0.05}


@dataclass(frozen=True)
class Dimension:
    """One setting to search over: our name, the key of the user's config, its values, the recommended one first."""

    name: str
    key: str
    values: tuple[Setting, ...]


@dataclass(frozen=True)
class SearchSpace:
    """Dimensions that are free, and everything else that follows from them.

    `left` are the changes that a person has to make, or that the config has no place for.
    """

    config: Mapping[str, Any]
    prescription: Prescription
    settings: Settings
    dimensions: tuple[Dimension, ...]
    left: tuple[Change, ...]

    @property
    def recommended(self) -> dict[str, Any]:
        """The config as it is prescribed."""
        return apply(self.prescription, self.config).config

    def choices(self) -> Iterator[dict[str, Setting]]:
        """Every combination of values by the config's keys, the recommended first."""
        keys = [dimension.key for dimension in self.dimensions]
        yield from (dict(zip(keys, values, strict=True)) for values in product(*(d.values for d in self.dimensions)))

    def configs(self) -> list[dict[str, Any]]:
        """The whole config of every combination, the recommended first; at most 27."""
        return [self.config_for(choice) for choice in self.choices()]

    def config_for(self, choice: Mapping[str, Setting]) -> dict[str, Any]:
        """The whole config of one choice by the config's keys, with all that is coupled to it.

        Raises KeyError where a dimension was not chosen.
        """
        chosen = {dimension.name: choice[dimension.key] for dimension in self.dimensions}
        if all(value == dimension.values[0] for value, dimension in zip(chosen.values(), self.dimensions, strict=True)):
            return self.recommended
        changes = [
            replace(change, after=chosen.get(change.setting, change.after)) for change in _leads(self.prescription)
        ]
        return apply(Prescription(changes=(*changes, *self._coupled(changes))), self.config).config

    def _coupled(self, leads: list[Change]) -> Iterator[Change]:
        """What these leads pull, among what the prescription's own leads pull."""
        before = self.settings
        for lead in leads:
            before = before.with_(lead.setting, lead.before) if lead.before is not None else before
        wanted = {change.setting for change in self.prescription.changes if change.coupled_to is not None}
        treats = self.prescription.stage is not None  # what a remedy holds, a question does not
        held = {setting for lead in leads if treats for setting in HELD.get(lead.remedy, ())}
        return (change for change in followers(leads, before, hold=held) if change.setting in wanted)


def search_space(prescription: Prescription, config: Mapping[str, Any], run: Run | None = None) -> SearchSpace:
    """The narrowed space around a prescription, in the terms of the user's `config`.

    Give the `run` that was diagnosed where there is one: what its log tells (rates, steps) is then counted with.
    At most three dimensions of at most three values each; a prescription without a number or a word that the config
    has a place for gives a space without dimensions, whose only config is the given one.
    """
    told = from_config(config)
    settings = told if run is None else replace(settings_of(run), values={**told.values, **settings_of(run).values})
    applied = apply(prescription, config)
    unsteady = prescription.stage == "stability"
    dimensions = [
        Dimension(change.setting, key, _values(change, applied.config[key], config[key], settings))
        for change in _leads(prescription)
        if change in applied.made and (key := _changed_key(change, config)) is not None
    ]
    return SearchSpace(
        config, prescription, replace(settings, unsteady=unsteady), tuple(dimensions[:MOST_DIMENSIONS]), applied.left
    )


def _leads(prescription: Prescription) -> list[Change]:
    return [change for change in prescription.changes if change.coupled_to is None]


def _changed_key(change: Change, config: Mapping[str, Any]) -> str | None:
    """The key under which the change alone lands in the config."""
    alone = apply(Prescription(changes=(change,)), config)
    return next((key for key in config if alone.config[key] != config[key]), None)


def _values(change: Change, recommended: Setting, present: Setting, settings: Settings) -> tuple[Setting, ...]:
    """The recommended value first, then its neighbours, in the config's own unit."""
    if isinstance(recommended, bool) or not isinstance(recommended, int | float):
        off = present is None or str(present).lower() in NOTHING
        return (recommended,) if off or present == recommended else (recommended, present)
    name = change.setting
    if name in SUMMANDS:
        near = [recommended - SUMMANDS[name], recommended + SUMMANDS[name]]
    elif name in FACTORS:
        near = [recommended / FACTORS[name], recommended * FACTORS[name]]
    else:
        return (recommended,)
    typed = [round(value) if isinstance(recommended, int) else float(f"{max(value, 0.0):.3g}") for value in near]
    clamped = [type(recommended)(settings.clamped(name, value)) for value in typed]
    return tuple(dict.fromkeys((recommended, *clamped)))
