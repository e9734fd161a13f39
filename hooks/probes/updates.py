"""Parameters and their updates: norms, and how far a step moves the weights."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diagnose.hooks.layers import LayerTable
from diagnose.hooks.norms import norms_of
from diagnose.hooks.probes.sampling import FlatSample
from diagnose.hooks.sharding import Shards, local
from diagnose.hooks.stream import Channel, Signals, Stream


class UpdateProbe:
    """Compares the parameters before and after a sampled step, from a bounded sample of each.

    A copy of all parameters would double their memory; up to a few thousand values of each tell the
    ratio ‖Δθ‖ / ‖θ‖ to a per cent or two, and exactly for small layers. Parameter norms are exact.
    """

    def __init__(self, layers: LayerTable, stream: Stream, shards: Shards | None = None) -> None:
        self._layers = layers
        self._stream = stream
        self._shards = shards
        # Quantised ones have neither norm nor updates; among shards all ranks' parts must be alike.
        kept = layers.parameters if shards else filter(_is_continuous, layers.parameters)
        self._parameters = list(kept)
        self._sample: FlatSample | None = None
        self._channels: tuple[Channel, Channel] | None = None
        self._before: Tensor | None = None
        self._began = False  # the look at a step, even where it then failed on this rank

    def before(self) -> None:
        """Keep the sample as it is before the optimizer steps."""
        self._began = True
        if self._sample is None:
            # Made at the first sampled step, when the layers' order is known.
            places = [self._layers.layer_of(parameter) for parameter in self._parameters]
            layers = len(self._layers)
            self._sample = FlatSample(self._local_parts())
            # What several ranks add up they have weighted already.
            shares = self._sample.shares if self._shards is None else np.ones(len(places))
            self._channels = (
                Channel("parameters", len(places), partial(_decoded_norms, places, layers)),
                Channel("updates", 2 * len(places), partial(_decoded_updates, places, layers, shares)),
            )
        self._before = self._sample.take(self._local_parts())

    def after(self, step: int) -> None:
        """Write how far the optimizer moved the sample, and the parameters' norms."""
        began, self._began = self._began, False
        before, self._before = self._before, None
        if self._shards is not None and began:
            self._write_whole(self._shards, step, before)
            return
        if before is None or self._sample is None or self._channels is None:
            return
        norms, updates = self._channels
        torch.stack(
            norms_of([p.detach() for p in self._parameters]),
            out=self._stream.row(step, norms),
        )
        moved = self._sample.take(self._parameters).sub_(before)
        torch.stack(self._sample.norms(moved) + self._sample.norms(before), out=self._stream.row(step, updates))

    def _local_parts(self) -> list[Tensor]:
        return [local(parameter) for parameter in self._parameters] if self._shards else list(self._parameters)

    def _write_whole(self, shards: Shards, step: int, before: Tensor | None) -> None:
        """The same over all ranks' parts, in one sum."""

        def measure() -> Tensor:
            sample = self._sample
            if before is None or sample is None:
                raise RuntimeError("the parameters before the step are not known")
            moved = sample.take(self._local_parts()).sub_(before)
            norms = shards.norms(self._parameters)
            weights = torch.from_numpy(np.sqrt(sample.shares)).to(norms)
            return torch.stack([norms, *(torch.stack(sample.norms(part)).mul_(weights) for part in (moved, before))])

        whole = shards.add_up("updates", measure, rows=3)
        if whole is None or self._channels is None:
            return
        norms, updates = self._channels
        self._stream.row(step, norms).copy_(whole[0])
        self._stream.row(step, updates).copy_(whole[1:].flatten())


def _is_continuous(parameter: Tensor) -> bool:
    return parameter.is_floating_point() or parameter.is_complex()


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
