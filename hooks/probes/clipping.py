"""The gradient norm before clipping, where clipping runs through `torch.nn.utils.clip_grad_norm_`."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.utils import clip_grad

from diagnose.hooks.layers import LayerTable

Listener = Callable[[Tensor], None]


class ClippingTap:
    """Listens to the two inner functions of `clip_grad_norm_`, so that a copy imported by name is heard too.

    They are replaced while at least one tap is open, and put back when the last one closes. Only
    2-norms over parameters of this model are passed on.
    """

    _open: ClassVar[weakref.WeakSet[ClippingTap]] = weakref.WeakSet()
    _originals: ClassVar[tuple[Callable[..., Any], Callable[..., Any]] | None] = None

    def __init__(self, layers: LayerTable, listener: Listener) -> None:
        self._own = {id(parameter) for parameter in layers.parameters}
        self._listener = listener
        self._open.add(self)
        if ClippingTap._originals is None:
            ClippingTap._originals = clip_grad._get_total_norm, clip_grad._clip_grads_with_norm_
            clip_grad._get_total_norm, clip_grad._clip_grads_with_norm_ = _tapped(*ClippingTap._originals)

    def close(self) -> None:
        """Listen no longer; safe to call twice."""
        self._open.discard(self)
        if not self._open and ClippingTap._originals is not None:
            clip_grad._get_total_norm, clip_grad._clip_grads_with_norm_ = ClippingTap._originals
            ClippingTap._originals = None

    def hear(self, parameters: Any, total_norm: Tensor) -> None:
        """Pass the norm on if it is over this model's parameters."""
        first = parameters if isinstance(parameters, Tensor) else next(iter(parameters), None)
        if id(first) in self._own:
            self._listener(total_norm)


def _tapped(
    get_total_norm: Callable[..., Tensor], clip_with_norm: Callable[..., None]
) -> tuple[Callable[..., Tensor], Callable[..., None]]:
    kinds: list[float] = []  # of the norm that was taken last; clipping follows at once, on the same thread

    def get(tensors: Any, norm_type: float = 2.0, *rest: Any, **keywords: Any) -> Tensor:
        kinds[:] = [float(norm_type)]
        return get_total_norm(tensors, norm_type, *rest, **keywords)

    def clip(parameters: Any, max_norm: float, total_norm: Tensor, *rest: Any, **keywords: Any) -> None:
        if kinds == [2.0] and isinstance(total_norm, torch.Tensor):
            for tap in list(ClippingTap._open):
                tap.hear(parameters, total_norm)
        clip_with_norm(parameters, max_norm, total_norm, *rest, **keywords)

    return get, clip
