"""The search space of a prescription: its leads as dimensions, its couplings kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import log2
from typing import Any, Final

from diagnose.diagnosis import Change, Prescription, Setting
from diagnose.errors import InvalidArgumentError
from diagnose.prescriptions.applying import apply
from diagnose.prescriptions.dose import rounded
from diagnose.prescriptions.following import followers
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS
from diagnose.prescriptions.planner import HELD
from diagnose.prescriptions.settings import Settings, from_config, settings_of
from diagnose.run import Run

MOST_DIMENSIONS: Final = 3  # K83: few parameters at once
# Discrete steps around the recommended value (K83), smaller and larger: times for scales, powers of two for sizes, sums
# for shares. Weight decay moves by K50's decades, a rate by the least step of K01.
FACTORS: Final[Mapping[str, float]] = {
    "lr": 3.0, "weight_decay": 10.0, "max_norm": 3.0, "warmup_steps": 2.0,
    "epochs": 1.5, "steps": 1.5, "decay_steps": 1.5, "depth": 1.5,
}  # fmt: skip
POWERS_OF_TWO: Final = frozenset({"batch_size", "accumulation_steps", "width"})  # as in K13 and K68
SUMMANDS: Final[Mapping[str, float]] = {"dropout": 0.1, "momentum": 0.05, "label_smoothing": 0.05}


@dataclass(frozen=True)
class Dimension:
    """One setting to search over: its key in the user's config, and the values there, the recommended one first.

    `leads` are the same values as changes, by our name and in our unit, which may be another (steps of warmup where
    the config holds a share); None is the value that the config has now.
    """

    key: str
    values: tuple[Setting, ...]
    leads: tuple[Change | None, ...]

    def lead(self, value: Setting) -> Change | None:
        """The change that brings one of the values about, None for the present one.

        Raises `InvalidArgumentError` for any other value.
        """
        if value not in self.values:
            known = ", ".join(map(repr, self.values))
            raise InvalidArgumentError(f"{self.key}={value!r} is not in this search space: choose one of {known}.")
        return self.leads[self.values.index(value)]


@dataclass(frozen=True)
class SearchSpace:
    """Dimensions that are free, and everything else that follows from them.

    `left` are the changes that a person has to make, or that the config has no place for.
    """

    config: Mapping[str, Any]
    prescription: Prescription
    settings: Settings  # as the prescription's leads found them
    dimensions: tuple[Dimension, ...]
    left: tuple[Change, ...]

    @property
    def recommended(self) -> dict[str, Any]:
        """The config as it is prescribed."""
        return apply(self.prescription, self.config).config

    def choices(self) -> Iterator[dict[str, Setting]]:
        """Every combination of values by the config's keys: the recommended first, then the nearest to it."""
        places = product(*(range(len(dimension.values)) for dimension in self.dimensions))
        for place in sorted(places, key=lambda at: (sum(map(bool, at)), sum(at), at[::-1])):
            yield {d.key: d.values[position] for d, position in zip(self.dimensions, place, strict=True)}

    def configs(self) -> list[dict[str, Any]]:
        """The whole config of every combination, the recommended first; at most 27."""
        return [self.config_for(choice) for choice in self.choices()]

    def config_for(self, choice: Mapping[str, Setting]) -> dict[str, Any]:
        """The whole config of one choice by the config's keys, with all that is coupled to it.

        Raises KeyError where a dimension is not chosen, `InvalidArgumentError` where a value is none of its.
        """
        chosen = {dimension.leads[0]: dimension.lead(choice[dimension.key]) for dimension in self.dimensions}
        if all(lead == recommended for recommended, lead in chosen.items()):
            return self.recommended
        leads = [lead for usual in _leads(self.prescription) if (lead := chosen.get(usual, usual)) is not None]
        return apply(Prescription(changes=(*leads, *self._coupled(leads))), self.config).config

    def _coupled(self, leads: list[Change]) -> Iterator[Change]:
        """What these leads pull.

        Where the graph and the prescription differ already in what the prescription's own leads pull (its log told
        more than this config, or less), the prescription holds: such a setting stays as prescribed.
        """
        prescribed = _leads(self.prescription)
        treats = self.prescription.stage is not None  # what a remedy holds, a question does not
        held = {setting for lead in prescribed if treats for setting in HELD.get(lead.remedy, ())}
        held |= {lead.setting for lead in prescribed}  # chosen as it is now is chosen too
        pulled = {change.setting: change for change in self.prescription.changes if change.coupled_to is not None}
        known = {change.setting for change in followers(prescribed, self.settings, hold=held)}
        yield from followers(leads, self.settings, hold=held | (known ^ pulled.keys()))
        made = {lead.remedy for lead in leads}
        yield from (change for name, change in pulled.items() if name not in known and change.coupled_to in made)


def search_space(prescription: Prescription, config: Mapping[str, Any], run: Run | None = None) -> SearchSpace:
    """The narrowed space around a prescription (K83), in the terms of the user's `config`.

    Give the `run` that was diagnosed where there is one: what its log tells (rates, steps) is then counted with.
    At most three dimensions of at most three values each; a prescription without a number or a word that the config
    has a place for gives a space without dimensions, whose only config is what `apply` makes of the given one.
    """
    leads, applied = _leads(prescription), apply(prescription, config)
    settings = from_config(config) if run is None else _seen_in(run, config)
    for lead in leads:
        settings = settings.with_(lead.setting, lead.before) if lead.before is not None else settings
    settings = replace(settings, unsteady=prescription.stage == "stability")
    found: dict[str, Dimension] = {}
    for lead in leads:
        dimension = _dimension(lead, config, settings) if lead in applied.made else None
        if dimension is not None:
            found.setdefault(dimension.key, dimension)
    return SearchSpace(dict(config), prescription, settings, tuple(found.values())[:MOST_DIMENSIONS], applied.left)


def ladder(name: str, recommended: Setting, present: Setting, settings: Settings) -> tuple[Setting, ...]:
    """The recommended value of setting `name`, then its neighbours: the values that a search goes over.

    A number's are a smaller and a larger one, in the unit of our own name (samples, steps, epochs), within what makes
    sense for these `settings`; without usual steps it stays alone. A word's is the `present` word.
    """
    if isinstance(recommended, bool) or not isinstance(recommended, int | float):
        return tuple(dict.fromkeys((recommended, present))) if isinstance(present, str | bool) else (recommended,)
    sane = (settings.clamped(name, value) for value in _neighbours(name, recommended))
    whole = name in HYPERPARAMETERS and HYPERPARAMETERS[name].whole
    return tuple(dict.fromkeys((recommended, *(int(value) if whole else value for value in sane))))


def _neighbours(name: str, value: float) -> list[float]:
    if name in POWERS_OF_TWO:  # of an odd size too: those at about half and twice of it
        return [2.0 ** round(log2(max(near, 1.0))) for near in (value / 2, value * 2)]
    if name in FACTORS:
        near = [value / FACTORS[name], value * FACTORS[name]]
    elif name in SUMMANDS:
        near = [value - SUMMANDS[name], value + SUMMANDS[name]]
    else:
        return []
    return [rounded(each) for each in near]


def _leads(prescription: Prescription) -> list[Change]:
    return [change for change in prescription.changes if change.coupled_to is None]


def _seen_in(run: Run, config: Mapping[str, Any]) -> Settings:
    """The run's settings; what its log does not hold is taken from the config."""
    return settings_of(replace(run, setup=replace(run.setup, config={**config, **run.setup.config})))


def _dimension(change: Change, config: Mapping[str, Any], settings: Settings) -> Dimension | None:
    """The change and its neighbours as the config would hold them; None where it has no place for the change."""
    alone = _with(change, config)
    key = next((key for key in config if alone[key] is not config[key]), None)
    if key is None:
        return None
    leads: dict[Setting, Change | None] = {}
    for value in ladder(change.setting, change.after, config[key], settings):
        lead = replace(change, after=value)
        landed = _with(lead, config)[key]
        leads.setdefault(landed, lead if landed != config[key] else None)
    return Dimension(key, tuple(leads), tuple(leads.values()))


def _with(change: Change, config: Mapping[str, Any]) -> dict[str, Any]:
    return apply(Prescription(changes=(change,)), config).config
