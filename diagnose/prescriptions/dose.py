"""What every dose is: one setting's move, its numbers, and the reason for its size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite

from diagnose.diagnosis import Setting
from diagnose.findings import Finding
from diagnose.run import Run

Found = Mapping[str, Finding]


@dataclass(frozen=True)
class Dose:
    """One setting's move and the reason for its size.

    `before` is None where the log does not hold it; `after` then says the factor in words: a number is never
    invented.
    """

    setting: str
    before: Setting
    after: Setting
    because: str


Prescribe = Callable[[Run, Found], Dose | None]


def rounded(value: float) -> float:
    """Three significant digits: a setting that a person would type."""
    return float(f"{value:.3g}")


def whole(value: float) -> int | float:
    """An int where it is one."""
    return int(value) if isfinite(value) and value == int(value) else value
