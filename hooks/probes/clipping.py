"""The gradient norm before clipping, where clipping runs through torch's own functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad

from diagnose.hooks.guard import Guard, Hook
from diagnose.hooks.layers import LayerTable
from diagnose.hooks.norms import norms_of
from diagnose.hooks.sharding import is_sharded
from diagnose.hooks.tapping import Functions, Listeners, Tapped

Listener = Callable[[Tensor], None]

INNER = ("_get_total_norm", "_clip_grads_with_norm_", "_group_tensors_by_device_and_dtype")


class ClippingTap:
    """Listens to the inner functions of `clip_grad_norm_` and `clip_grad_value_`.

    Copies of those two imported by name are heard too, since their inner functions are looked up at each
    call. Only 2-norms over parameters of this model are passed on.
    """

    def __init__(self, layers: LayerTable, guard: Guard, listener: Listener) -> None:
        self._guard = guard
        self._parameters = layers.parameters
        self._own = {id(parameter) for parameter in layers.parameters}
        self._listener = listener
        _CLIPPING.add(self)

    def close(self) -> None:
        """Listen no longer; safe to call twice."""
        _CLIPPING.discard(self)

    def hear_norm(self, parameters: Any, total_norm: Tensor) -> None:
        """Pass the norm on if it is over this model's parameters."""
        if not Hook.asleep():
            self._guard.run("clipping", self._hear_norm, parameters, total_norm)

    def hear_values(self, gradients: Sequence[Tensor]) -> None:
        """Pass the norm of the gradients on, before their values are clipped, if they are this model's."""
        if not Hook.asleep():
            self._guard.run("clipping", self._hear_values, gradients)

    def _hear_norm(self, parameters: Any, total_norm: Tensor) -> None:
        first = parameters if isinstance(parameters, Tensor) else next(iter(parameters), None)
        if id(first) in self._own:
            self._listener(total_norm)

    def _hear_values(self, gradients: Sequence[Tensor]) -> None:
        own = {id(p.grad) for p in self._parameters if p.grad is not None}
        # Of shards the norm would take a collective, which ranks without a tap would not join.
        if gradients and id(gradients[0]) in own and not any(map(is_sharded, gradients)):
            self._listener(torch.linalg.vector_norm(torch.stack(norms_of(gradients))))


def _heard(originals: Functions, taps: Listeners[ClippingTap]) -> Functions:
    get_total_norm, clip_with_norm, group = (originals[name] for name in INNER)
    kinds: list[float] = []  # of the norm that was taken last; clipping follows at once, on the same thread
    within: list[str] = []  # the tapped functions under way, which group gradients too

    def get(tensors: Any, norm_type: float = 2.0, *rest: Any, **keywords: Any) -> Tensor:
        kinds[:] = [float(norm_type)]
        within.append("norm")
        try:
            total: Tensor = get_total_norm(tensors, norm_type, *rest, **keywords)
            return total
        finally:
            within.pop()

    def clip(parameters: Any, max_norm: float, total_norm: Tensor, *rest: Any, **keywords: Any) -> None:
        if kinds == [2.0] and isinstance(total_norm, torch.Tensor):
            for tap in taps:
                tap.hear_norm(parameters, total_norm)
        within.append("clip")
        try:
            clip_with_norm(parameters, max_norm, total_norm, *rest, **keywords)
        finally:
            within.pop()

    def grouped(tensors: Sequence[Any], *rest: Any, **keywords: Any) -> Any:
        if not within:  # called by clip_grad_value_, then
            for tap in taps:
                tap.hear_values(tensors[0])
        return group(tensors, *rest, **keywords)

    return dict(zip(INNER, (get, clip, grouped), strict=True))


_CLIPPING: Tapped[ClippingTap] = Tapped(clip_grad, INNER, _heard)
