"""A coupling: one edge of the graph that says what must follow when a setting changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from diagnose.diagnosis import Setting
from diagnose.prescriptions.settings import Settings

Follow = Callable[[Settings, Settings], Setting]


@dataclass(frozen=True)
class Coupling:
    """A change of `source` pulls `target`.

    `follow(before, after)` takes the settings before and after all that has changed so far, and gives the target's
    new value, or None where this change does not pull it or the settings do not tell enough. `formula` says the
    same in the field's symbols, with its domain.
    """

    source: str
    target: str
    formula: str
    because: str
    sources: tuple[str, ...]
    follow: Follow

    @property
    def id(self) -> str:
        """Source and target, as in `batch_size-lr`."""
        return f"{self.source}-{self.target}"


def ratio(name: str, before: Settings, after: Settings) -> float | None:
    """New over old value of a setting; None where either is no number above 0."""
    old, new = before.number(name), after.number(name)
    return new / old if old and new and old > 0 and new > 0 else None
