"""The symptoms: one file each, named after what it finds. The folder is the registry."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final

from diagnose.confidence import calibrated
from diagnose.facts import has_fixed_minimum
from diagnose.findings import Finding, Severity
from diagnose.run import Run

# Told by the loss's shape alone: worth knowing, and no illness, where the loss has no fixed minimum.
OF_THE_LOSS: Final = frozenset({
    "divergence", "loss_spikes", "oscillation", "slow_descent", "plateau", "no_learning", "late_instability",
    "validation_stall", "overfitting", "underfitting", "undertrained",
})  # fmt: skip

Find = Callable[[Run], Iterator[Finding]]


@cache
def ids() -> tuple[str, ...]:
    """Every symptom's id, in alphabetical order."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find(run: Run, only: Iterable[str] | None = None) -> list[Finding]:
    """Findings of all symptoms, or of those in `only`, their confidences calibrated."""
    found = [finding for name in (ids() if only is None else only) for finding in _module(name).find(run)]
    if not has_fixed_minimum(run):
        found = [replace(each, severity=Severity.INFO) if each.id in OF_THE_LOSS else each for each in found]
    return [calibrated(finding) for finding in found]


def title(symptom: str) -> str:
    """The symptom's name as a person reads it: "Vanishing gradients"."""
    return manual_page(symptom).partition(":")[0]


def manual_page(symptom: str) -> str:
    """What it looks like, how it is told, what it is mistaken for, its causes and sources."""
    return inspect.getdoc(_module(symptom)) or ""


@cache
def _module(symptom: str) -> ModuleType:
    return import_module(f"{__name__}.{symptom}")
