"""Gradient norms: global and per layer, as the optimizer sees them."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from diagnose.hooks.layers import LayerTable
from diagnose.hooks.norms import norms_of
from diagnose.hooks.probes.precision import unscaled
from diagnose.hooks.sharding import Shards
from diagnose.hooks.stream import Channel, Signals, Stream
from diagnose.signals import GRAD_NORM, LAYER_GRAD_NORM


class GradientProbe:
    """Measures all gradients with one fused call; nothing waits for the device."""

    def __init__(self, layers: LayerTable, stream: Stream, shards: Shards | None = None) -> None:
        self._layers = layers
        self._stream = stream
        self._shards = shards
        self._parameters = layers.parameters
        self._channel: Channel | None = None
        self._present: tuple[list[bool], Tensor] | None = None
        self._latest_step = 0

    def measure(self, step: int, optimizer: Optimizer, share: frozenset[int] | None = None) -> Tensor | None:
        """Take the norm of every parameter's gradient as it stands now, without the loss scale.

        With `share`, only of the parameters with these ids, beside what other optimizers have measured in
        the same step. Returns the step's norms, of shape (parameters,), 0 where there is no gradient; None
        without any gradient.
        """
        gradients = [p.grad if share is None or id(p) in share else None for p in self._parameters]
        if self._shards is not None:
            return self._measure_shards(self._shards, step, optimizer, gradients)
        present = [g for g in gradients if g is not None]
        if not present:
            return None
        norms = norms_of(present)
        row = self._stream.row(step, self._channel or self._make_channel())
        if len(present) == len(gradients):
            unscaled(torch.stack(norms, out=row), optimizer)
        else:
            if step != self._latest_step:
                row.zero_()
            places = self._places([g is not None for g in gradients])
            row.index_copy_(0, places, unscaled(torch.stack(norms), optimizer))
        self._latest_step = step
        return row

    def _measure_shards(
        self, shards: Shards, step: int, optimizer: Optimizer, gradients: list[Tensor | None]
    ) -> Tensor | None:
        """Take the norms over all ranks' parts; without any gradient too, since another rank may have one."""
        norms = shards.add_up("gradients", lambda: shards.norms(gradients)[None], rows=1)
        if norms is None:
            return None
        row = self._stream.row(step, self._channel or self._make_channel())
        if step != self._latest_step:
            row.zero_()
        self._latest_step = step
        return row.add_(unscaled(norms[0], optimizer))  # 0 where another optimizer's share is

    def _make_channel(self) -> Channel:
        # Made at the first step, when the layers' order is known; of plain numbers, since the writer's
        # thread holds it and must not hold the model.
        places = [self._layers.layer_of(parameter) for parameter in self._parameters]
        self._channel = Channel("gradients", len(places), partial(_decoded, places, len(self._layers)))
        return self._channel

    def _places(self, present: list[bool]) -> Tensor:
        """Places of the gradients that are there; which ones are rarely changes, so the last answer is kept."""
        if self._present is None or self._present[0] != present:
            places = [place for place, there in enumerate(present) if there]
            self._present = present, self._stream.index(places)
        return self._present[1]


def _decoded(places: list[int], layers: int, norms: NDArray[np.float32]) -> Signals:
    """`grad_norm` and `layers/grad_norm`: 2-norms over all, and over each layer's, parameters' gradients.

    `fisher_trace` is the squared norm: the trace of the empirical Fisher matrix of the batch's mean gradient.
    `places` holds each parameter's layer; a layer without gradients has 0.
    """
    squares = norms.astype(np.float64) ** 2
    of_layers = np.zeros((layers, len(norms)))
    np.add.at(of_layers, places, squares.T)
    return {
        GRAD_NORM: np.sqrt(squares.sum(axis=1)),
        "fisher_trace": squares.sum(axis=1),
        LAYER_GRAD_NORM: np.sqrt(of_layers.T).astype(np.float32),
    }
