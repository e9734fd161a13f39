"""The recorded faults as trainings that take a config: what a user's own `train(config)` would be."""

from __future__ import annotations

import itertools
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[1] / "fixtures"
sys.path.insert(0, str(FIXTURES))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: several processes share the machine

import numpy as np
import torch
from torch import nn

import changes
import diagnose
from criteria import CRITERIA
from diagnose.signals import VALIDATION_LOSS
from faults import FAULTS, Fault
from recipe import SCHEDULES, Data, Recipe
from tasks import TASKS
from training import Outcome, train

KINDS: dict[str, Fault] = {fault.name: fault for fault in FAULTS}
# What lies in data or code, and no setting mends: cured where the cause named first is the true one.
IN_DATA_OR_CODE = frozenset({
    "bad_sample", "log_of_zero", "labels_shuffled", "labels_corrupted_late", "unshuffled", "unnormalized_inputs",
    "frozen_layers", "parameters_missing", "gradients_not_cleared", "outlier_batches",
})  # fmt: skip
ON_SAME_DATA = frozenset({"too_little_data"})  # whose sound twin has other data: judged by its own best checkpoint
NORMALIZATIONS = {"BatchNorm": "batch", "LayerNorm": "layer", "GroupNorm": "layer", "none": ""}
DIRECT = {"lr": "lr", "batch_size": "batch_size", "steps": "steps", "warmup_steps": "warmup", "max_norm": "clip",
          "momentum": "momentum", "weight_decay": "weight_decay", "dropout": "dropout", "width": "width",
          "depth": "depth", "optimizer": "optimizer", "activation": "activation",
          "accumulation_steps": "accumulation"}  # fmt: skip


@dataclass(frozen=True)
class Patient:
    """One ill training: a fault of the fixtures in one task, with a seed."""

    kind: str
    task: str
    seed: int
    outcomes: list[Outcome] = field(default_factory=list, compare=False)  # of its trainings, in order

    @property
    def fault(self) -> Fault:
        """What is wrong with it."""
        return KINDS[self.kind]

    @property
    def sound(self) -> Recipe:
        """The same without the fault."""
        return replace(TASKS[self.task].recipe, **self.fault.beside.get(self.task, {}))

    @property
    def ill(self) -> Recipe:
        """With the fault."""
        return replace(self.sound, **self.fault.on[self.task])

    def config(self) -> dict[str, Any]:
        """The ill recipe's settings, as a user would keep them; None for what is off."""
        recipe = self.ill
        return {
            **{name: getattr(recipe, own) for name, own in DIRECT.items()},
            "dropout": recipe.dropout or None,
            "scheduler": recipe.schedule, "precision": recipe.precision, "loss_scaling": None,
            "normalization": next(name for name, own in NORMALIZATIONS.items() if own == recipe.normalization),
            "initialization": None, "inputs": None,
        }  # fmt: skip

    def trainer(self, into: Path) -> Callable[[dict[str, Any]], Path]:
        """`train(config) -> run_dir`, a new folder below `into` for each call."""
        numbers = itertools.count()

        def trained(config: dict[str, Any]) -> Path:
            run_dir = into / str(next(numbers))
            self.outcomes.append(train(self.task, self.recipe(config), self.seed, run_dir))
            return run_dir

        return trained

    def train_sound(self, run_dir: Path) -> Outcome:
        """Its sound twin."""
        return train(self.task, self.sound, self.seed, run_dir)

    def shows(self, twin: Outcome) -> bool:
        """Whether the fault really showed in the first training, by the fixtures' criteria."""
        return any(CRITERIA[name](self.outcomes[0], twin) is not None for name in self.fault.shows)

    def recipe(self, config: Mapping[str, Any]) -> Recipe:
        """The recipe that a config asks for: the ill one where it says nothing else."""
        ill, told = self.ill, {own: config[name] for name, own in DIRECT.items() if config[name] is not None}
        told["clip"] = config["max_norm"]  # None is off
        told["schedule"] = config["scheduler"] if config["scheduler"] in SCHEDULES else "cosine"
        told["precision"] = _precision(config)
        told["normalization"] = NORMALIZATIONS[config["normalization"]]
        told["dropout"] = config["dropout"] or 0.0
        if config["initialization"] is not None:
            told |= {"init_gain": 1.0, "change_model": _initialized(ill.change_model, config["initialization"])}
        if config["inputs"] is not None:
            told["change_data"] = _standardized(ill.change_data)
        return replace(ill, **told)


def _precision(config: Mapping[str, Any]) -> str:
    return "amp" if config["loss_scaling"] and config["precision"] == "half" else str(config["precision"])


def _initialized(before: Callable[[nn.Module], None], kind: str) -> Callable[[nn.Module], None]:
    """The kind for what an activation follows, Glorot's for the last layer, which none does (K60)."""

    def change(model: nn.Module) -> None:
        before(model)
        *hidden, last = [p for p in model.parameters() if p.dim() > 1]
        draw = nn.init.kaiming_normal_ if kind == "He" else nn.init.xavier_normal_
        with torch.no_grad():
            for matrix in hidden:
                draw(matrix)
            nn.init.xavier_normal_(last)

    return change


def _standardized(before: Callable[[Data], Data]) -> Callable[[Data], Data]:
    def change(data: Data) -> Data:
        data = before(data)
        mean, deviation = data.inputs.mean(0), data.inputs.std(0).clamp_min(1e-6)
        return data._replace(
            inputs=(data.inputs - mean) / deviation, validation_inputs=(data.validation_inputs - mean) / deviation
        )

    return change


def metric(task: str, run_dir: Path | str, *, best: bool = False) -> float:
    """The validation metric at the end (or the best): accuracy, or the share of the targets' variance explained.

    −∞ where it is no number; the best is one of those that are. The variance is that of the targets about the mean of
    the training set's.
    """
    run = diagnose.load(run_dir)
    series = run.scalar("accuracy/validation") or run.scalar(VALIDATION_LOSS)
    if series is None:
        return -math.inf
    values = series.values
    if run.scalar("accuracy/validation") is None:
        values = 1 - values / _variance(task)
    value = max(values[~np.isnan(values)], default=np.nan) if best else values[-1]
    return -math.inf if math.isnan(value) else float(value)


def _variance(task: str) -> float:
    if task == "diffusion":
        return 1.0  # the noise to predict
    data = TASKS[task].data()
    return float((data.validation_targets - data.targets.mean(0)).square().mean())


__all__ = ["IN_DATA_OR_CODE", "KINDS", "ON_SAME_DATA", "Patient", "changes", "metric"]
