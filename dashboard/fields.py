"""The what-if page's fields: what each takes, where a first visit begins, and the stops of its slider."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import Final

from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS
from diagnose.prescriptions.settings import NOTHING


@dataclass(frozen=True)
class Field:
    """One setting. `least` and `most` bound what can be meant at all; without bounds it is a word."""

    name: str
    first: str = ""
    least: float | None = None
    most: float = inf
    above_zero: bool = False
    stops: tuple[float, ...] = ()
    changeable: bool = True

    @property
    def unit(self) -> str:
        """In which it is counted, "" where its name says so."""
        unit = HYPERPARAMETERS[self.name].unit if self.name in HYPERPARAMETERS else "samples"
        return "" if unit in self.name else unit

    @property
    def whole(self) -> bool:
        """Whether only whole numbers make sense."""
        return self.name == "dataset_size" or HYPERPARAMETERS[self.name].whole


_HALVES: Final = tuple(float(2**power) for power in range(17))
_THIRDS: Final = tuple(float(f"{digit}e{power}") for power in range(-6, 6) for digit in (1, 3))


def _thirds(first: float, last: float) -> tuple[float, ...]:
    return tuple(stop for stop in _THIRDS if first <= stop <= last)


FIELDS: Final = {
    field.name: field
    for field in (
        Field("optimizer", "SGD"),
        Field("lr", "0.1", 0, above_zero=True, stops=(*_thirds(1e-6, 0.03), 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1, 1.6, 3)),
        Field("batch_size", "256", 1, stops=_HALVES),
        Field("dataset_size", "50000", 1, changeable=False),
        Field("epochs", "90", 1, stops=(1, 2, 3, 5, 10, 15, 20, 30, 50, 75, 90, 100, 150, 200, 300, 500, 1000)),
        Field("warmup_steps", "", 0, stops=(0, *_thirds(10, 30_000))),
        Field("momentum", "0.9", 0, 1, stops=(0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)),
        Field("weight_decay", "1e-4", 0, stops=(0, *_thirds(1e-6, 0.3))),
        Field("max_norm", "", 0, above_zero=True, stops=_thirds(0.01, 100)),
        Field("dropout", "", 0, 1, stops=(0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)),
        Field("label_smoothing", "", 0, 1, stops=(0, 0.05, 0.1, 0.15, 0.2)),
        Field("accumulation_steps", "", 1, stops=_HALVES[:11]),
        Field("width", "", 1, stops=_HALVES[3:15]),
        Field("depth", "", 1, stops=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)),
        Field("augmentation"),
        Field("normalization"),
        Field("scheduler"),
        Field("activation"),
        Field("model"),
    )
}


def problem(field: Field, text: str) -> str:
    """What is wrong with what was filled in, in a few words; "" where it can be meant."""
    told = text.strip()
    if field.least is None or told.lower() in NOTHING:
        return ""
    try:
        value = float(told)
    except ValueError:
        return "a number is wanted"
    if not isfinite(value):
        return "a finite number is wanted"
    if value < field.least or (field.above_zero and value == 0):
        return "more than 0 is wanted" if field.above_zero else f"at least {field.least:g} is wanted"
    if value > field.most:
        return f"at most {field.most:g} is wanted"
    return "a whole number is wanted" if field.whole and not value.is_integer() else ""


def stop_of(field: Field, text: str) -> int:
    """The slider's stop that is nearest to a number in a field, the first one where there is none."""
    if not text.strip() or problem(field, text) or text.strip().lower() in NOTHING:
        return 0
    value = float(text)
    return min(range(len(field.stops)), key=lambda at: abs(field.stops[at] - value))
