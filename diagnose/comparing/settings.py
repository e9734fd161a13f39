"""What differs in the set-up of two runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose
from typing import Any, Final

from diagnose.diagnosis import Setting
from diagnose.facts import RANKS
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS, canonical
from diagnose.prescriptions.settings import settings_of
from diagnose.run import Run

SAME = 1e-4  # relative: logs hold numbers as float32
# What differs from run to run by itself, and explains nothing but noise.
INCIDENTAL: Final = frozenset({"seed", "git_commit", "script", "threads", "run_name", "name", "run_dir", "device"})


@dataclass(frozen=True)
class Difference:
    """A setting by our name, its value in either run (None: not told by that log), and its unit."""

    setting: str
    a: Setting
    b: Setting
    unit: str = ""

    @property
    def told_by_both(self) -> bool:
        """Whether both logs hold it."""
        return self.a is not None and self.b is not None

    @property
    def incidental(self) -> bool:
        """Whether runs of the same set-up differ in it too."""
        return self.setting in INCIDENTAL


def differences(a: Run, b: Run) -> tuple[Difference, ...]:
    """Every setting that differs, or that one log alone tells; hyperparameters first, incidental ones last."""
    left, right = told(a), told(b)
    found = [
        Difference(name, left.get(name), right.get(name), HYPERPARAMETERS[name].unit if name in HYPERPARAMETERS else "")
        for name in dict.fromkeys((*left, *right))
        if not same(left.get(name), right.get(name))
    ]
    found.sort(key=lambda each: (each.incidental, each.setting not in HYPERPARAMETERS, not each.told_by_both))
    return tuple(found)


def told(run: Run) -> dict[str, Setting]:
    """Everything a run's log tells of its set-up that two runs may differ in, by our names."""
    setup = run.setup
    every: dict[str, Setting] = dict(settings_of(run).values)
    if run.length:
        every.setdefault("steps", run.length)
    for mapping in (setup.config, setup.model, setup.environment):
        for name, value in mapping.items():
            if isinstance(value, str | int | float):
                every.setdefault(canonical(str(name)), value)
    if setup.environment:  # a log of ours, which names ranks where there are several
        every.setdefault(RANKS, 1)
    every |= {f"layers: {kind}": count for kind, count in _plain(setup.modules).items()}
    return every


def _plain(modules: Mapping[str, Any]) -> dict[str, int]:
    return {kind: count for kind, count in modules.items() if isinstance(count, int)}


def same(a: Setting, b: Setting) -> bool:
    """Whether two values are equal but for float32's rounding."""
    if isinstance(a, int | float) and isinstance(b, int | float):
        return isclose(a, b, rel_tol=SAME)
    return a == b
