"""The optimizers that train one model: whose gradients are whose, and the names of their learning rates."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor
from torch.optim import Optimizer

from diagnose.hooks.layers import LayerTable


class Optimizers:
    """In the order of their discovery; the first one is the one whose learning rate stands for the run's."""

    def __init__(self, layers: LayerTable) -> None:
        self._layers = layers
        self._all: list[Optimizer] = []
        self._names: list[list[str]] = []  # of each one's learning rates in the log

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Optimizer]:
        return iter(self._all)

    @property
    def first(self) -> Optimizer | None:
        """None before any is known."""
        return self._all[0] if self._all else None

    @property
    def lr(self) -> Tensor | float:
        """The learning rate of the first one's first group; NaN before any is known."""
        lr: Tensor | float = self._all[0].param_groups[0]["lr"] if self._all else math.nan
        return lr

    def add(self, optimizer: Optimizer) -> None:
        """Another optimizer trains the model."""
        self._all.append(optimizer)
        self._names.append([])

    def share_of(self, optimizer: Optimizer) -> frozenset[int] | None:
        """The parameters, by id, whose gradients are this optimizer's to show; None where it has no other beside it.

        The first one also shows those that no optimizer holds.
        """
        if len(self._all) == 1:
            return None
        held = {o: {id(p) for group in o.param_groups for p in group["params"]} for o in self._all}
        if optimizer is not self._all[0]:
            return frozenset(held[optimizer])
        others = set[int]().union(*(ids for o, ids in held.items() if o is not optimizer))
        return frozenset({id(p) for p in self._layers.parameters} - others)

    def rate_names(self, optimizer: Optimizer) -> list[str]:
        """`lr/group0`, `lr/group1`, … for the optimizer's groups, counted on through all optimizers."""
        place = self._all.index(optimizer)
        if len(self._names[place]) != len(optimizer.param_groups):
            before = sum(len(other.param_groups) for other in self._all[:place])
            self._names[place] = [f"lr/group{before + number}" for number in range(len(optimizer.param_groups))]
        return self._names[place]
