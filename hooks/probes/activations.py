"""Activation statistics of each layer's output, on sampled steps, from a bounded sample."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from diagnose.hooks.guard import Guard, Hook
from diagnose.hooks.layers import ACTIVATIONS, LayerTable, first_tensor
from diagnose.hooks.stream import Channel, Signals, Stream

MOST_SAMPLES = 64  # samples (batch entries times positions) that a unit's statistics are taken from
MOST_UNITS = 256
CHANNELS_FIRST = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm)

OUTPUT = ("layers/activation_mean", "layers/activation_variance", "layers/nonfinite")
AFTER = ("layers/zero_fraction", "layers/saturated_fraction")
FLAT_ENDS = {  # activation -> the values between which its slope is over a twentieth of its steepest
    nn.Sigmoid: (0.0125, 0.9875), nn.Hardsigmoid: (0.0, 1.0), nn.Tanh: (-0.975, 0.975), nn.Hardtanh: (-1.0, 1.0),
    nn.Softsign: (-0.777, 0.777), nn.ReLU6: (-1.0, 6.0),
}  # fmt: skip


class ActivationProbe:
    """Hooks the layers and their activations for one forward pass at a time: on other steps nothing runs."""

    def __init__(
        self, layers: LayerTable, stream: Stream, guard: Guard, timed: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._timed = timed  # what a look costs is spent in the middle of the forward pass
        self._layers = layers
        self._stream = stream
        self._hooks = Hook(guard, "activations", self._look), Hook(guard, "activations", self._look_after)
        self._handles: list[RemovableHandle] = []
        self._outputs: list[tuple[nn.Module, Tensor]] = []
        self._after: list[tuple[nn.Module, Tensor]] = []
        self._latest: tuple[nn.Module, torch.Size] | None = None  # the layer that ran last, until its activation ran
        self._channels = (
            Channel("outputs", len(OUTPUT) * len(layers), partial(_decoded, OUTPUT)),
            Channel("after activations", len(AFTER) * len(layers), partial(_decoded, AFTER)),
        )

    @property
    def watching(self) -> bool:
        """Whether a forward pass is being watched."""
        return bool(self._handles)

    @property
    def seen(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._outputs)

    def begin(self) -> None:
        """Watch the forward pass that starts now."""
        self.end()
        self._outputs, self._after, self._latest = [], [], None
        look, look_after = self._hooks
        for _, module in self._layers.modules:
            self._handles.append(module.register_forward_hook(look))
        for module in self._layers.model.modules():
            if isinstance(module, ACTIVATIONS):
                self._handles.append(module.register_forward_hook(look_after))

    def end(self) -> None:
        """Watch no longer: a recomputation during backward (checkpointing) is no second forward."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def write(self, step: int) -> None:
        """Write the watched pass's statistics; NaN for layers that did not run."""
        outputs, after = self._outputs, self._after
        self._outputs, self._after, self._latest = [], [], None
        for channel, seen in zip(self._channels, (outputs, after), strict=True):
            if seen:
                self._write(step, channel, seen)

    def _write(self, step: int, channel: Channel, seen: list[tuple[nn.Module, Tensor]]) -> None:
        of_places: dict[int, list[Tensor]] = {}
        for module, statistics in seen:
            of_places.setdefault(self._layers.place_of(module), []).append(statistics)
        # A module that runs several times in one pass has the mean over its calls.
        means = torch.stack([s[0] if len(s) == 1 else torch.stack(s).mean(dim=0) for s in of_places.values()])
        row = self._stream.row(step, channel).fill_(torch.nan).view(len(self._layers), -1)
        row.index_copy_(0, self._stream.index(of_places), means)

    def _look(self, module: nn.Module, inputs: Any, output: Any) -> None:
        with self._timed():
            self._look_at_input(inputs)
            tensor = first_tensor(output)
            if tensor is None or not tensor.is_floating_point() or tensor.dim() < 2:
                return
            channels = 1 if isinstance(module, CHANNELS_FIRST) and tensor.dim() > 2 else tensor.dim() - 1
            self._outputs.append((module, output_statistics(tensor.detach(), channels)))
            self._latest = module, tensor.shape

    def _look_after(self, module: nn.Module, _inputs: Any, output: Any) -> None:
        """An activation module has run: what it puts out belongs to the layer before it."""
        if self._latest is not None and isinstance(output, Tensor):
            layer, self._latest = self._latest[0], None
            with self._timed():
                self._after.append((layer, activation_statistics(output.detach(), FLAT_ENDS.get(type(module)))))

    def _look_at_input(self, inputs: Any) -> None:
        """The next layer runs without an activation module in between: a function may have been one.

        Its input, where it has the shape of the last layer's output, is that output after the function.
        """
        tensor = first_tensor(inputs)
        if self._latest is not None and tensor is not None and tensor.shape == self._latest[1]:
            self._after.append((self._latest[0], activation_statistics(tensor.detach(), None)))
        self._latest = None


def _decoded(names: tuple[str, ...], rows: NDArray[np.float32]) -> Signals:
    by_layer = rows.reshape(len(rows), -1, len(names))
    return {name: by_layer[:, :, number] for number, name in enumerate(names)}


def output_statistics(output: Tensor, channels: int) -> Tensor:
    """Mean, variance and count of non-finite values, as a float32 tensor of shape (3,).

    `output` has its units along the dimension `channels`; all others together are the samples. The
    variance is taken over samples for each unit and averaged over units: it tells how much of the
    input is left, while units with different biases differ from each other even where nothing depends
    on the input any more. NaN where there is only one sample. All from a bounded, even sample.
    """
    sample = thinned(output, channels).float()
    mean = sample.mean(dim=[d for d in range(sample.dim()) if d != channels], keepdim=True)
    # Two passes by hand: on the CPU torch.var over some dimensions takes ten times as long.
    centred = sample - mean
    several = sample.numel() > sample.shape[channels]
    variance = (centred * centred).mean() if several else torch.full((), torch.nan, device=output.device)
    return torch.stack((mean.mean(), variance, sample.isfinite().logical_not_().sum().float()))


def activation_statistics(output: Tensor, flat_ends: tuple[float, float] | None) -> Tensor:
    """Shares of exact zeros, and of values at the flat ends (NaN for activations without), of shape (2,)."""
    sample = thinned(output, output.dim() - 1)
    zeros = (sample == 0).float().mean()
    if flat_ends is None:
        return torch.stack((zeros, torch.full_like(zeros, torch.nan)))
    low, high = flat_ends
    return torch.stack((zeros, ((sample <= low) | (sample >= high)).float().mean()))


def thinned(output: Tensor, channels: int) -> Tensor:
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
