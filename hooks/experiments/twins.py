"""Twins of an optimizer and a gradient scaler: they work on the same parameters, and the originals never notice."""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from typing import Any

from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from diagnose.errors import InvalidArgumentError


def twin_of(optimizer: Optimizer, model: nn.Module) -> Optimizer:
    """An optimizer of the same class, settings and state, without hooks, that steps the same parameters.

    Optimizers inside it (a sharpness-aware one has its base in an attribute) become twins too, and what they share
    stays shared. Raises `InvalidArgumentError` where its state cannot be copied.
    """
    same = [*model.modules(), *(p for group in optimizer.param_groups for p in group["params"]), *model.parameters()]
    try:
        return _twin(optimizer, {id(thing): thing for thing in same})
    except (RuntimeError, TypeError) as error:
        kind = type(optimizer).__name__
        raise InvalidArgumentError(f"The state of {kind} cannot be copied, and is not touched: {error}") from error


def scaler_twin(scaler: GradScaler | None) -> GradScaler | None:
    """A scaler with the same scale and growth; raises `InvalidArgumentError` between its `unscale_` and `update`."""
    try:
        return copy.deepcopy(scaler)
    except AssertionError as error:
        raise InvalidArgumentError(
            "The gradient scaler is in the middle of a step: call its update() first."
        ) from error


def needs_closure(optimizer: Optimizer) -> bool:
    """Whether `step` must be given a closure: LBFGS, and sharpness-aware optimizers, which go backward twice."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    return hasattr(optimizer, "first_step") or (closure is not None and closure.default is inspect.Parameter.empty)


def _twin(optimizer: Optimizer, memo: dict[int, Any]) -> Optimizer:
    twin = object.__new__(type(optimizer))
    memo[id(optimizer)] = twin
    attributes = vars(optimizer)
    for value in attributes.values():
        if isinstance(value, Optimizer) and id(value) not in memo:
            _twin(value, memo)
    for name, value in attributes.items():
        if name.startswith("_optimizer_") and name.endswith("_hooks"):
            vars(twin)[name] = OrderedDict()
        elif name != "step":  # a scheduler's wrapper, which would step the original
            vars(twin)[name] = copy.deepcopy(value, memo)
    return twin
