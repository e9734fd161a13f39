"""Activation statistics of each layer's output, on sampled steps, from a bounded sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from diagnose.hooks.guard import Guard, Hook
from diagnose.hooks.layers import LayerTable, first_tensor
from diagnose.hooks.stream import Channel, Signals, Stream
from diagnose.signals import LAYER_ACTIVATION_VARIANCE

MOST_SAMPLES = 64  # samples (batch entries times positions) that a unit's variance is estimated from
MOST_UNITS = 256
CHANNELS_FIRST = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm)


class ActivationProbe:
    """Hooks the layers for one forward pass at a time: on other steps there is nothing to run."""

    def __init__(self, layers: LayerTable, stream: Stream, guard: Guard) -> None:
        self._layers = layers
        self._stream = stream
        self._guard = guard
        self._handles: list[RemovableHandle] = []
        self._seen: list[tuple[nn.Module, Tensor]] = []
        self._channel = Channel("activations", len(layers), _decoded)

    def begin(self) -> None:
        """Watch the forward pass that starts now."""
        self.end()
        self._seen = []
        hook = Hook(self._guard, "activations", self._look)
        for _, module in self._layers.modules:
            self._handles.append(module.register_forward_hook(hook))

    def end(self) -> None:
        """Watch no longer: a recomputation during backward (checkpointing) is no second forward."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def write(self, step: int) -> None:
        """Write the watched pass's statistics; NaN for layers that did not run."""
        if not self._seen:
            return
        places: dict[int, list[Tensor]] = {}
        for module, variance in self._seen:
            places.setdefault(self._layers.place_of(module), []).append(variance)
        self._seen = []
        # A module that runs several times in one pass has the mean over its calls.
        means = torch.stack([v[0] if len(v) == 1 else torch.stack(v).mean() for v in places.values()])
        row = self._stream.row(step, self._channel)
        row.fill_(torch.nan).index_copy_(0, torch.tensor(list(places), device=row.device), means)

    def _look(self, module: nn.Module, _inputs: Any, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is not None and tensor.is_floating_point() and tensor.dim() > 1:
            channels = 1 if isinstance(module, CHANNELS_FIRST) and tensor.dim() > 2 else tensor.dim() - 1
            self._seen.append((module, unit_variance(tensor.detach(), channels)))


def _decoded(rows: NDArray[np.float32]) -> Signals:
    return {LAYER_ACTIVATION_VARIANCE: rows}


def unit_variance(output: Tensor, channels: int) -> Tensor:
    """Variance over samples of each unit, averaged over units: a 0-dimensional float32 tensor.

    `output` has its units along the dimension `channels`; all others together are the samples. It is
    the variance over samples, not over all values, that tells how much of the input is left: units
    with different biases differ from each other even where nothing depends on the input any more.
    NaN where there is only one sample.
    """
    sample = _thinned(output, channels).float()
    if sample.numel() == sample.shape[channels]:
        return torch.full((), torch.nan, device=output.device)
    # Two passes by hand: on the CPU torch.var over some dimensions takes ten times as long.
    centred = sample - sample.mean(dim=[d for d in range(sample.dim()) if d != channels], keepdim=True)
    return (centred * centred).mean()


def _thinned(output: Tensor, channels: int) -> Tensor:
    """An evenly spread view of at most about MOST_SAMPLES × MOST_UNITS values."""
    left = MOST_SAMPLES
    index: list[slice] = []
    for dimension, size in enumerate(output.shape):
        most = MOST_UNITS if dimension == channels else max(left, 1)
        stride = -(-size // most) if size else 1
        index.append(slice((stride - 1) // 2, None, stride))  # from the middle: an image's corner is mostly padding
        if dimension != channels:
            left //= max(size // stride, 1)
    return output[tuple(index)]
