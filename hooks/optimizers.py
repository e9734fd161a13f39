"""The optimizers that train one model: whose gradients are whose, and the names of their learning rates."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator

from torch import Tensor
from torch.optim import Optimizer

from diagnose.hooks.layers import LayerTable


class Optimizers:
    """In the order of their discovery; the first one is the one whose learning rate stands for the run's.

    Held weakly: one that training has dropped for another takes its state with it, and its place is free.
    """

    def __init__(self, layers: LayerTable) -> None:
        self._layers = layers
        self._all: list[weakref.ref[Optimizer]] = []
        self._names: dict[int, list[str]] = {}  # of each one's learning rates in the log
        self._rates: list[tuple[str, Tensor | float]] = []  # told last
        self._same: object = self  # the rate that these were told for
        self._named: list[tuple[int, int]] = []  # the optimizers and numbers of groups that these names are for

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Optimizer]:
        for reference in self._all:
            optimizer = reference()
            if optimizer is not None:
                yield optimizer

    @property
    def first(self) -> Optimizer | None:
        """None before any is known."""
        return next(iter(self), None)

    @property
    def lr(self) -> Tensor | float:
        """The learning rate of the first one's first group; NaN before any is known, or where it has none."""
        first = self.first
        lr = first.param_groups[0].get("lr") if first is not None else None
        return lr if isinstance(lr, Tensor | float | int) else math.nan

    def add(self, optimizer: Optimizer) -> None:
        """Another optimizer trains the model."""
        self._all = [reference for reference in self._all if reference() is not None]
        self._all.append(weakref.ref(optimizer))
        self._names, self._named, self._same = {}, [], self  # ids may be used again

    def rates(self, optimizer: Optimizer) -> list[tuple[str, Tensor | float]]:
        """`lr/group0`, `lr/group1`, … and its rate for each of the optimizer's groups that has one.

        Groups are counted on through all optimizers. Some optimizers find their rates by themselves, and
        have None in their place.
        """
        groups = optimizer.param_groups
        if len(groups) == 1 and groups[0].get("lr") is self._same and len(self._all) == 1:
            return self._rates  # most steps: a schedule makes a new number
        names = self._names.get(id(optimizer), ())
        if len(self._all) > 1 or len(names) != len(groups):  # a group that comes later moves those behind it
            names = self._name()[id(optimizer)]
        rates = [(name, group.get("lr")) for name, group in zip(names, groups, strict=True)]
        self._same = rates[0][1]
        self._rates = [(name, lr) for name, lr in rates if isinstance(lr, float | Tensor | int)]
        return self._rates

    def share_of(self, optimizer: Optimizer) -> frozenset[int] | None:
        """The parameters, by id, whose gradients are this optimizer's to show; None where it has no other beside it.

        The first one also shows those that no optimizer holds.
        """
        every = list(self)
        if len(every) == 1:
            return None
        held = {one: {id(p) for group in one.param_groups for p in group["params"]} for one in every}
        if optimizer is not every[0]:
            return frozenset(held[optimizer])
        others = set[int]().union(*(ids for one, ids in held.items() if one is not optimizer))
        return frozenset({id(p) for p in self._layers.parameters} - others)

    def _name(self) -> dict[int, list[str]]:
        counts = [(id(one), len(one.param_groups)) for one in self]
        if counts != self._named:
            self._named, number = counts, 0
            for optimizer, groups in counts:
                self._names[optimizer] = [f"lr/group{place}" for place in range(number, number + groups)]
                number += groups
        return self._names


def share_parameters(one: Optimizer, other: Optimizer) -> bool:
    """Whether any parameter is stepped by both."""
    held = {id(p) for group in one.param_groups for p in group["params"]}
    return any(id(p) in held for group in other.param_groups for p in group["params"])


def innermost(optimizer: Optimizer | None) -> Optimizer | None:
    """The optimizer that takes hooks: a wrapper that never was one itself (Accelerate's) steps another."""
    inner = getattr(optimizer, "optimizer", None)
    takes_hooks = hasattr(optimizer, "_optimizer_step_pre_hooks")
    return innermost(inner) if isinstance(inner, Optimizer) and not takes_hooks else optimizer
