"""The settings of one training as advice sees them: under our names, with what is known of their surroundings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, Final

import numpy as np

from diagnose import facts
from diagnose.diagnosis import Setting
from diagnose.optimizer_names import Kind, kind_of
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS, UTMOST, canonical
from diagnose.run import Run, Setup
from diagnose.schedules import peak_lr, warmup_steps
from diagnose.signals import LR

MOST_ADAPTIVE_LR: Final = 1e-2  # ten times the upper end of K11's range for Adam: beyond it advice does not go
CAPS: Final = ("max_steps", "max-steps")  # which in Transformers overrides the epochs
ABOUT: Final = 0.98  # of the epochs' steps: a last batch may be dropped
CYCLIC: Final = re.compile(r"(one_?cycle|cyclic|triangular)", re.IGNORECASE)
BATCHNORM: Final = re.compile(r"(\w+\.)*(sync)?_?batch_?norm(\dd)?|bn", re.IGNORECASE)
OPTIONAL: Final = ("normalization", "augmentation", "scheduler")  # None for one of them says that there is none
NOTHING: Final = ("", "none", "no", "off", "false")


@dataclass(frozen=True)
class Settings:
    """Settings by our names, and facts about data and model; what nobody told is absent.

    `values` holds numbers and words; `dataset_size` is in samples, `length` the optimizer steps of the run that
    these settings gave, `parameters` the model's, `ranks` the processes that share a step. `unsteady` tells that such
    a run did not stay stable.
    """

    values: Mapping[str, Setting] = field(default_factory=dict)
    dataset_size: float | None = None
    length: int | None = None
    parameters: float | None = None
    ranks: float = 1.0
    unsteady: bool = False

    def number(self, name: str) -> float | None:
        """The setting as a number, None where it is absent, off, or a word."""
        value = self.values.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def word(self, name: str) -> str:
        """The setting as a word, empty where it is absent, switched off, or a number."""
        value = self.values.get(name)
        return value if isinstance(value, str) and value.lower() not in NOTHING else ""

    def with_(self, name: str, value: Setting) -> Settings:
        """The same with one setting changed."""
        return replace(self, values={**self.values, name: value})

    @property
    def batch(self) -> float | None:
        """Samples of one optimizer step, B_eff = B_micro × N_accum × ranks (K10)."""
        size = self.number("batch_size")
        return size * max(self.number("accumulation_steps") or 1.0, 1.0) * self.ranks if size and size > 0 else None

    @property
    def steps_per_epoch(self) -> float | None:
        """Optimizer steps of one pass over the data."""
        return self.dataset_size / self.batch if self.dataset_size and self.batch else None

    @property
    def planned(self) -> float | None:
        """Optimizer steps of the whole training: as set, or from the epochs; None where neither is told."""
        epochs = self.number("epochs")
        told = epochs * self.steps_per_epoch if epochs and self.steps_per_epoch else None
        return self.number("steps") or told

    @property
    def steps(self) -> float | None:
        """The same, or as many as the run had."""
        return self.planned or self.length

    @property
    def length_counts_in_epochs(self) -> bool:
        """Whether the epochs end the training, and no number of steps that is known to be reached before."""
        epochs, steps = self.number("epochs"), self.number("steps")
        if not epochs or not steps:
            return True
        return self.steps_per_epoch is None or steps >= ABOUT * epochs * self.steps_per_epoch

    @property
    def kind(self) -> Kind:
        """What kind of optimizer takes the steps."""
        return kind_of(self.word("optimizer"))

    @property
    def cyclic(self) -> bool:
        """Whether the schedule moves rate and momentum against each other."""
        return bool(CYCLIC.search(self.word("scheduler")))

    @property
    def batchnorm(self) -> bool:
        """Whether the model normalises over the batch."""
        return bool(BATCHNORM.fullmatch(self.word("normalization")))

    def clamped(self, name: str, value: float) -> float:
        """The value, within what makes sense for these settings."""
        bounded = HYPERPARAMETERS[name].clamped(value) if name in HYPERPARAMETERS else value
        if name == "lr" and self.kind == "adaptive":
            return min(bounded, max(MOST_ADAPTIVE_LR, self.number("lr") or 0.0))
        if name == "warmup_steps" and self.steps:
            return min(bounded, float(int(self.steps / 2)))  # a rise that takes longer is a cycle
        if name == "batch_size" and self.dataset_size:
            return min(bounded, self.dataset_size)
        return bounded


def settings_of(run: Run) -> Settings:
    """What a run's log tells of its settings: the optimizer and the curves before the config."""
    setup, told = run.setup, from_config(run.setup.config)
    lr = run.scalar(LR)
    seen: dict[str, Setting | None] = {
        "lr": peak_lr(lr) or setup.optimizer_setting("lr"),
        "warmup_steps": warmup_steps(lr) if lr is not None else None,
        "momentum": setup.optimizer_setting("momentum"),
        "weight_decay": facts.weight_decay(setup),
        "dropout": _dropout(setup),
        "label_smoothing": setup.model_number("label_smoothing"),
        "optimizer": facts.optimizer_type(setup) or None,
        "scheduler": " → ".join(facts.scheduler_types(setup)) or None,
        "decay_steps": setup.scheduler_number("T_max") or setup.scheduler_number("total_steps"),
        "normalization": normalization(setup),
    }
    return replace(
        told,
        values={**told.values, **{name: value for name, value in seen.items() if value is not None}},
        length=run.length or None,
        parameters=setup.model_number("parameters"),
        ranks=facts.ranks(setup),
    )


def from_config(config: Mapping[str, Any]) -> Settings:
    """The settings of a user's config, whatever names of ours or of others' it uses.

    Numbers written as text count as numbers. A warmup in epochs or as a share becomes steps where the length of an
    epoch or of the training is known, and is left out where it is not; what is no number, word or yes and no is
    left out too, and so is what no training can have (a `max_steps` of -1 tells that the epochs count). Of epochs and
    steps the shorter training counts, as it does in Transformers and Lightning.
    """
    values: dict[str, Setting] = {}
    for name, value in config.items():
        plain = _plain(value)
        known = canonical(str(name), plain)
        if value is None and known in OPTIONAL:
            plain = "none"
        if plain is not None and (known not in HYPERPARAMETERS or HYPERPARAMETERS[known].allows(plain)):
            values.setdefault(known, plain)
    size = values.pop("dataset_size", None)
    samples = float(size) if isinstance(size, int | float) and 0 < size < UTMOST else None
    settings = Settings(values, dataset_size=samples)
    capped = settings.steps_per_epoch is None and any(str(name).lower() in CAPS for name in config)
    if not settings.length_counts_in_epochs or (capped and settings.number("steps")):
        settings = replace(settings, values={name: value for name, value in values.items() if name != "epochs"})
    warmup = _warmup_in_steps(settings)
    return settings if warmup is None else settings.with_("warmup_steps", warmup)


def normalization(setup: Setup) -> str | None:
    """The normalisation layer that the model has most of, "none" without any; None where the log does not tell."""
    norms = {kind: count for kind, count in setup.modules.items() if "Norm" in kind}
    if not norms:
        return "none" if setup.modules else None
    return max(norms, key=lambda kind: norms[kind])


def _dropout(setup: Setup) -> float | None:
    """The rate, 0 where the model's modules are known and none of them drops."""
    told = facts.dropout(setup)
    none = told is None and setup.modules and not any("Dropout" in kind for kind in setup.modules)
    return 0.0 if none else told


def _warmup_in_steps(settings: Settings) -> float | None:
    if settings.number("warmup_steps"):  # 0 beside a share is Transformers' default, and means the share
        return None
    epochs, share = settings.number("warmup_epochs"), settings.number("warmup_ratio")
    if epochs is not None and settings.steps_per_epoch:
        return float(round(epochs * settings.steps_per_epoch))
    return float(round(share * settings.steps)) if share is not None and settings.steps else None


def _plain(value: object) -> Setting:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        try:
            value = float(value) if value.strip() else value
        except ValueError:
            return str(value)
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return None
        return (int(value) if isinstance(value, int) else number) if isfinite(number) else None
    return None
