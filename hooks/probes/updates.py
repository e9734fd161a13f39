"""Parameters and their updates: norms, and how far a step moves the weights."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diagnose.hooks.layers import LayerTable
from diagnose.hooks.probes.sampling import FlatSample
from diagnose.hooks.stream import Channel, Signals, Stream


class UpdateProbe:
    """Compares the parameters before and after a sampled step, from a bounded sample of each.

    A copy of all parameters would double their memory; up to a few thousand values of each tell the
    ratio ‖Δθ‖ / ‖θ‖ to a per cent or two, and exactly for small layers. Parameter norms are exact.
    """

    def __init__(self, layers: LayerTable, stream: Stream) -> None:
        self._layers = layers
        self._stream = stream
        self._parameters = layers.parameters
        self._sample: FlatSample | None = None
        self._channels: tuple[Channel, Channel] | None = None
        self._before: Tensor | None = None

    def before(self) -> None:
        """Keep the sample as it is before the optimizer steps."""
        if self._sample is None:
            # Made at the first sampled step, when the layers' order is known.
            places = [self._layers.layer_of(parameter) for parameter in self._parameters]
            layers = len(self._layers)
            self._sample = FlatSample(self._parameters)
            self._channels = (
                Channel("parameters", len(places), partial(_decoded_norms, places, layers)),
                Channel("updates", 2 * len(places), partial(_decoded_updates, places, layers, self._sample.shares)),
            )
        self._before = self._sample.take(self._parameters)

    def after(self, step: int) -> None:
        """Write how far the optimizer moved the sample, and the parameters' norms."""
        before, self._before = self._before, None
        if before is None or self._sample is None or self._channels is None:
            return
        norms, updates = self._channels
        torch.stack(
            torch._foreach_norm([p.detach() for p in self._parameters], 2, dtype=torch.float32),
            out=self._stream.row(step, norms),
        )
        moved = self._sample.take(self._parameters).sub_(before)
        torch.stack(self._sample.norms(moved) + self._sample.norms(before), out=self._stream.row(step, updates))


def by_layer(squares: NDArray[np.float64], places: list[int], layers: int) -> NDArray[np.float64]:
    """Squares by row and parameter, of shape (rows, parameters), summed over each layer's parameters."""
    of_layers = np.zeros((layers, len(squares)))
    np.add.at(of_layers, places, squares.T)
    return of_layers.T


def _decoded_norms(places: list[int], layers: int, norms: NDArray[np.float32]) -> Signals:
    """`param_norm` and `layers/param_norm` from each parameter's norm."""
    squares = norms.astype(np.float64) ** 2
    return {
        "param_norm": np.sqrt(squares.sum(axis=1)),
        "layers/param_norm": np.sqrt(by_layer(squares, places, layers)).astype(np.float32),
    }


def _decoded_updates(
    places: list[int], layers: int, shares: NDArray[np.float64], norms: NDArray[np.float32]
) -> Signals:
    """`update_ratio` and `layers/update_ratio`: ‖Δθ‖ / ‖θ‖; NaN for a layer whose parameters are all 0."""
    squares = norms.astype(np.float64) ** 2
    moved, size = (by_layer(part * shares, places, layers) for part in np.hsplit(squares, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        of_layers = np.where(size > 0, np.sqrt(moved / size), np.nan)
        whole = np.sqrt(moved.sum(axis=1) / size.sum(axis=1))
    return {"update_ratio": whole, "layers/update_ratio": of_layers.astype(np.float32)}
