"""Losses: what a criterion or the model's own output gives, training and evaluation apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from diagnose.hooks.layers import first_tensor
from diagnose.hooks.stream import Stream
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS


class LossProbe:
    """Sees losses go by; each counts with its number of samples, so that a short last batch counts less."""

    def __init__(self, model: nn.Module, stream: Stream, opened: Callable[[], int], latest: Callable[[], int]) -> None:
        self._model = model
        self._stream = stream
        self._opened = opened  # the step that a training loss belongs to
        self._latest = latest  # the step that an evaluation comes after

    def from_criterion(self, inputs: tuple[Any, ...], output: Any) -> None:
        """Take the output of a loss module; one that reduces nothing is averaged."""
        if isinstance(output, Tensor) and output.is_floating_point():
            self._take(output, first_tensor(inputs))

    def from_output(self, inputs: Any, output: Any) -> None:
        """Take `output.loss` of a model that computes its own loss."""
        loss = None if isinstance(output, Tensor) else getattr(output, "loss", None)
        if isinstance(loss, Tensor) and loss.is_floating_point():
            self._take(loss, first_tensor(inputs))

    def _take(self, loss: Tensor, inputs: Tensor | None) -> None:
        samples = inputs.shape[0] if inputs is not None and inputs.dim() else 1
        training = self._model.training and torch.is_grad_enabled()
        value = loss.detach()
        self._stream.add(
            self._opened() if training else self._latest(),
            TRAIN_LOSS if training else VALIDATION_LOSS,
            value if value.dim() == 0 else value.mean(),
            weight=float(samples),
        )
