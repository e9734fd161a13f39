"""What differs in the set-up of two runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose
from typing import Final

from diagnose.comparing.told import seen, told
from diagnose.diagnosis import Setting
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS
from diagnose.run import Layer, Run

__all__ = ["INCIDENTAL", "SEEDS", "Difference", "differences", "same", "told"]

SAME = 1e-4  # relative: logs hold numbers as float32
SEEN_ALIKE = 0.1  # of what is read off curves and weights: seeds differ by less
COUNTS: Final = "layers: "  # and a kind of module
MOST_LAYERS = 8  # named one by one; where more differ, the counts of each kind say enough

SEEDS: Final = frozenset({"seed", "random_seed", "manual_seed", "global_seed"})
# What differs from run to run by itself: with it alone, there are only chance and the code to explain anything.
INCIDENTAL: Final = SEEDS | {
    "git_commit", "script", "torch", "python", "platform", "device", "threads", "num_workers", "host", "hostname",
    "user", "name", "run_name", "run_id", "id", "experiment", "experiment_name", "exp_name", "run_dir", "output_dir",
    "log_dir", "logdir", "logging_dir", "save_dir", "time", "date", "timestamp", "noise_scale_from",
}  # fmt: skip


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
    left, right = _counted(told(a), b), _counted(told(b), a)
    left, right = {**left, **_absent(right, a)}, {**right, **_absent(left, b)}
    found = [
        Difference(name, left.get(name), right.get(name), HYPERPARAMETERS[name].unit if name in HYPERPARAMETERS else "")
        for name in dict.fromkeys((*left, *right))
        if not same(left.get(name), right.get(name))
    ]
    found += [*_seen(a, b), *_layers(a.setup.layers, b.setup.layers)]
    order = list(HYPERPARAMETERS)
    found.sort(
        key=lambda each: (
            each.incidental,
            order.index(each.setting) if each.setting in HYPERPARAMETERS else len(order),
            not each.told_by_both,
        )
    )
    return tuple(found)


def same(a: Setting, b: Setting) -> bool:
    """Whether two values are equal but for float32's rounding; a NaN equals a NaN."""
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b or (a != a and b != b) or isclose(a, b, rel_tol=SAME)  # noqa: PLR0124  NaN differs from itself
    return a == b


def _counted(settings: Mapping[str, Setting], other: Run) -> dict[str, Setting]:
    """Without the counts of layers where the other log does not describe its model: they would only repeat that."""
    return {
        name: value for name, value in settings.items() if other.setup.modules or not name.startswith(COUNTS)
    }


def _absent(settings: Mapping[str, Setting], run: Run) -> dict[str, Setting]:
    """The layers' kinds of the other run that this one has none of."""
    own = {f"{COUNTS}{kind}" for kind in run.setup.modules}
    return {name: 0 for name in settings if name.startswith(COUNTS) and name not in own}


def _seen(a: Run, b: Run) -> list[Difference]:
    """What curves and weights show of the set-up; where only one log shows it there is nothing to compare."""
    left, right = seen(a), seen(b)
    return [
        Difference(name, left[name].value, right[name].value, left[name].unit)
        for name in left
        if name in right and not isclose(
            left[name].value, right[name].value, rel_tol=SEEN_ALIKE, abs_tol=left[name].tolerance
        )
    ]  # fmt: skip


def _layers(a: tuple[Layer, ...], b: tuple[Layer, ...]) -> list[Difference]:
    """Layers of the same name that are not the same, where they are few enough to be read."""
    other = {layer.name: layer for layer in b}
    changed = [
        Difference(f"layer {one.name}", _described(one), _described(other[one.name]))
        for one in a
        if one.name in other and _described(one) != _described(other[one.name])
    ]
    return changed if len(changed) <= MOST_LAYERS else []


def _described(layer: Layer) -> str:
    frozen = "" if layer.trainable or not layer.parameters else ", frozen"
    activation = f", {layer.activation}" if layer.activation else ""
    return f"{layer.type}{activation}, {layer.parameters:,} parameters{frozen}"
