"""The black box: when numbers first stop being finite, where that began."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from diagnose.hooks.layers import LayerTable, device_of, tensors_in
from diagnose.hooks.replay import autocast, beside_training, obstacle
from diagnose.hooks.stream import Channel, Signals, Stream
from diagnose.signals import LAYER_NONFINITE, LAYER_NONFINITE_WEIGHTS, NONFINITE_INPUTS


class Origin:
    """Runs the forward pass of the first broken step again and counts what is not finite in each layer's output.

    Written once a run: `layers/nonfinite`, exact counts in forward order, NaN for a layer that did not run;
    `layers/nonfinite_weights`, those of the weights that it ran with: the break is older than the pass then;
    and `nonfinite_inputs`, the count in the batch itself.
    """

    def __init__(self, layers: LayerTable, stream: Stream) -> None:
        self._layers = layers
        self._stream = stream
        self.inputs: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None  # of the open step's latest forward pass
        self.autocast: torch.dtype | None = None  # that it ran in, as far as was looked
        self.can_run_again = True  # False where the batch is known, but not what the model made of it
        self._found = False

    def trace(self, step: int, micro_batches: int) -> None:
        """Write what the forward pass of `step` gives, once, while its weights are still the same.

        Under accumulation only the last micro-batch is at hand: a clean one of several proves nothing.
        """
        if self._found or self.inputs is None:
            return
        arguments, keywords = self.inputs
        self._found, self.inputs = True, None
        # This waits for the device, once: a run that breaks has time.
        bad_inputs = sum(map(_nonfinite, tensors_in((arguments, keywords))))
        if bad_inputs or micro_batches == 1:
            self._stream.add(step, NONFINITE_INPUTS, float(bad_inputs))
        if not self.can_run_again or obstacle(self._layers.model) is not None:
            return
        counts = self._counts(arguments, keywords)
        if micro_batches > 1 and not bad_inputs and not any(counts.values()):
            return
        weights = self._in_weights()
        outputs = [counts.get(place, math.nan) for place in range(len(weights))]
        row = self._stream.row(step, Channel("origin", 2 * len(weights), _decoded))
        row.copy_(torch.tensor(outputs + weights))

    def _counts(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> dict[int, float]:
        counts: dict[int, float] = {}

        def count(module: nn.Module, _inputs: Any, output: Any) -> None:
            place = self._layers.place_of(module)
            counts[place] = counts.get(place, 0.0) + sum(map(_nonfinite, tensors_in(output)))

        model = self._layers.model
        handles: list[RemovableHandle] = []
        try:
            handles += [module.register_forward_hook(count) for _, module in self._layers.modules]
            with torch.no_grad(), beside_training(model) as replay, autocast(device_of(model).type, self.autocast):
                replay.output_of({}, arguments, keywords)
        finally:
            for handle in handles:
                handle.remove()
        return counts

    def _in_weights(self) -> list[float]:
        counts = [0.0] * len(self._layers)
        for parameter in self._layers.parameters:
            counts[self._layers.layer_of(parameter)] += _nonfinite(parameter)
        return counts


def _nonfinite(tensor: Tensor) -> int:
    return int(tensor.isfinite().logical_not_().sum()) if tensor.is_floating_point() or tensor.is_complex() else 0


def _decoded(rows: NDArray[np.float32]) -> Signals:
    outputs, weights = np.hsplit(rows, 2)
    return {LAYER_NONFINITE: outputs, LAYER_NONFINITE_WEIGHTS: weights}
