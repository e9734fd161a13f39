"""Finds the optimizers that nobody told of, at their first step."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer

from diagnose.hooks.guard import Hook

if TYPE_CHECKING:
    from diagnose.hooks.monitor import Monitor


def optimizer_finder(monitor: Monitor) -> Callable[..., None]:
    """A hook on every optimizer's step that adopts each one that trains the monitor's model."""
    watching = weakref.ref(monitor)
    own = {id(p) for p in monitor._layers.parameters}
    known: weakref.WeakSet[Optimizer] = weakref.WeakSet(monitor._course.optimizers)

    def find(optimizer: Optimizer, *_: Any) -> None:
        if optimizer in known or Hook.asleep():
            return
        monitor = watching()
        if monitor is None:
            return
        known.add(optimizer)
        if any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
            # Its own hooks run right after this one, so its first step is seen already.
            monitor._adopt(optimizer)
            monitor._guard.run("set-up", monitor._describe)

    return find
