"""Losses: what a criterion or the model's own output gives, training and evaluation apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from diagnose.hooks.layers import batch_of
from diagnose.hooks.stream import Stream
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

# A Transformers model that is told this divides by the tokens of the whole step, on all ranks: its loss is a part.
WHOLE = "num_items_in_batch"


class LossProbe:
    """Sees losses go by; each counts with its number of samples, so that a short last batch counts less."""

    def __init__(self, model: nn.Module, stream: Stream, opened: Callable[[], int], latest: Callable[[], int]) -> None:
        self._model = model
        self._stream = stream
        self._opened = opened  # the step that a training loss belongs to
        self._latest = latest  # the step that an evaluation comes after
        self.ranks = 1  # that share a whole which is told to the model, where nothing else tells of them
        self.seen: set[str] = set()  # the losses that have been seen go by

    def from_criterion(self, inputs: tuple[Any, ...], output: Any) -> None:
        """Take the output of a loss module; one that reduces nothing is averaged."""
        if isinstance(output, Tensor) and output.is_floating_point():
            first = inputs[0] if inputs else None
            self._take(output, first if type(first) is Tensor else batch_of(inputs, {}))

    def from_output(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any], output: Any) -> None:
        """Take `output.loss` of a model that computes its own loss."""
        loss = getattr(output, "loss", None)
        if isinstance(loss, Tensor) and loss.is_floating_point():
            if self._training and keywords.get(WHOLE) is not None:
                self.seen.add(TRAIN_LOSS)
                self._stream.add_part(self._opened(), TRAIN_LOSS, _mean(loss * self.ranks))
            else:
                self._take(loss, batch_of(arguments, keywords))

    def _take(self, loss: Tensor, inputs: Tensor | None) -> None:
        samples = inputs.size(0) if inputs is not None and inputs.dim() else 1
        training = self._training
        name = TRAIN_LOSS if training else VALIDATION_LOSS
        self.seen.add(name)
        self._stream.add(self._opened() if training else self._latest(), name, _mean(loss), weight=float(samples))

    @property
    def _training(self) -> bool:
        return self._model.training and torch.is_grad_enabled()


def _mean(loss: Tensor) -> Tensor | float:
    """On its device, but on the CPU, where there is nothing to wait for."""
    if not loss.is_cpu:
        return loss.detach().mean()
    return loss.item() if loss.numel() == 1 else loss.detach().mean().item()
