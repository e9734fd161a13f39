"""Gradient norms: global and per layer, as the optimizer sees them."""

from __future__ import annotations

import torch
from torch import Tensor

from diagnose.hooks.layers import LayerTable
from diagnose.hooks.stream import Stream
from diagnose.signals import GRAD_NORM, LAYER_GRAD_NORM


class GradientProbe:
    """Measures all gradients with one fused call; nothing waits for the device."""

    def __init__(self, layers: LayerTable, stream: Stream) -> None:
        self._layers = layers
        self._stream = stream
        self._places: dict[tuple[bool, ...], Tensor] = {}

    def measure(self, step: int) -> None:
        """Write `grad_norm` and `layers/grad_norm` of the gradients as they stand now.

        The norm of a layer is the 2-norm over all of its parameters' gradients; a layer without
        gradients has 0.
        """
        parameters = self._layers.parameters
        gradients = [p.grad for p in parameters]
        present = tuple(g is not None for g in gradients)
        if not any(present):
            return
        norms = torch._foreach_norm([_dense(g) for g in gradients if g is not None], 2, dtype=torch.float32)
        squares = torch.stack(norms).square_()
        vector = self._stream.vector(step, LAYER_GRAD_NORM)
        vector.zero_().index_add_(0, self._places_of(present, squares.device), squares).sqrt_()
        self._stream.add(step, GRAD_NORM, squares.sum().sqrt_())

    def forget_order(self) -> None:
        """The layers were put into another order."""
        self._places.clear()

    def _places_of(self, present: tuple[bool, ...], device: torch.device) -> Tensor:
        """Layer of each gradient that is present; which ones are rarely changes, so it is kept."""
        places = self._places.get(present)
        if places is None:
            of = [self._layers.layer_of(p) for p, there in zip(self._layers.parameters, present, strict=True) if there]
            places = self._places[present] = torch.tensor(of, device=device)
        return places


def _dense(gradient: Tensor) -> Tensor:
    # A sparse gradient may hold a row several times: only coalesced values have the right norm.
    return gradient.coalesce().values() if gradient.is_sparse else gradient
