"""The training loss as a function of the weights, to be computed again on a part of the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from diagnose.hooks.layers import batch_of, device_of, tensors_in
from diagnose.hooks.replay import autocast, autocast_type, output_of

SHARE = 8  # the loss is computed on this part of the batch: one in SHARE samples
FEWEST = 2  # samples: batch normalisation cannot do with one

Loss = Callable[[Mapping[str, Tensor]], Tensor]


class _Place(NamedTuple):
    """Where a tensor lies in memory."""

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Forward:
    """A forward pass: what went in, and where its output's tensors lie in memory."""

    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    places: tuple[_Place, ...]
    own_loss: bool
    batch: int
    autocast: torch.dtype | None


@dataclass(frozen=True)
class _Criterion:
    """A loss module's call, and how its first input follows from the model's output."""

    module: nn.Module
    rest: tuple[Any, ...]
    keywords: Mapping[str, Any]
    output: int  # which of the model's output tensors
    order: tuple[int, ...] | None  # the permutation of its dimensions; None where it is a reshape
    shape: tuple[int, ...]


class Objective:
    """Notes how one step's loss came about: from a loss module on the model's output, or as `output.loss`.

    The criterion's first input must be the model's output itself, or a view of all of it (flattened,
    transposed); anything else in between cannot be done again, and there is no `loss` then.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.watching = False
        self.forget()

    def begin(self) -> None:
        """Note what happens from here on."""
        self.forget()
        self.watching = True

    def forget(self) -> None:
        """Let go of everything that was noted."""
        self.watching = False
        self._forward: _Forward | None = None
        self._criterion: _Criterion | None = None
        self._forwards = self._criteria = 0

    def saw_forward(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any], output: Any) -> None:
        """The model has run; of several micro-batches the last counts."""
        batch = batch_of(arguments, keywords)
        if batch is None or not batch.dim():
            return
        self._forwards += 1
        places = tuple(_Place(t.data_ptr(), tuple(t.shape), t.stride()) for t in tensors_in(output))
        dtype = autocast_type(batch.device.type)
        own_loss = isinstance(getattr(output, "loss", None), Tensor)
        self._forward = _Forward(arguments, keywords, places, own_loss, len(batch), dtype)
        self._criterion = None

    def saw_criterion(self, module: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        """The loss module has run."""
        if self._forward is None or not arguments or not isinstance(arguments[0], Tensor):
            return
        self._criteria += 1
        link = _link(arguments[0], self._forward.places)
        self._criterion = (
            _Criterion(module, arguments[1:], keywords, *link, tuple(arguments[0].shape)) if link else None
        )

    def loss(self) -> Loss | None:
        """The loss on the first SHARE-th of the batch, as a function of the weights by name; None if unknown.

        The loss is a mean over samples, or scaled to the whole batch where the criterion sums. To be called
        within `beside_training`.
        """
        forward, criterion = self._forward, self._criterion
        if forward is None or (criterion is None and not forward.own_loss):
            return None
        if criterion is not None and self._criteria != self._forwards:
            return None  # the loss is made of several terms, of which this would be one
        part = min(forward.batch, max(FEWEST, -(-forward.batch // SHARE)))

        def compute(weights: Mapping[str, Tensor]) -> Tensor:
            with autocast(device_of(self._model).type, forward.autocast):
                output = output_of(
                    self._model, weights, *_cut((forward.arguments, forward.keywords), forward.batch, part)
                )
                if criterion is None:
                    loss: Tensor = output.loss
                    return loss.mean()
                return _loss_of(criterion, output, forward.batch, part)

        return compute


def _link(given: Tensor, places: tuple[_Place, ...]) -> tuple[int, tuple[int, ...] | None] | None:
    """Which output tensor the criterion was given, and by which permutation; None where it is no view of one."""
    for number, place in enumerate(places):
        if given.data_ptr() != place.pointer or given.numel() != torch.Size(place.shape).numel():
            continue
        order = _permutation(given, place)
        if order is not None or given.is_contiguous():
            return number, order
    return None


def _permutation(view: Tensor, place: _Place) -> tuple[int, ...] | None:
    """How the dimensions of what lies at `place` were permuted to give `view`; None where they were not."""
    wanted = list(zip(view.shape, view.stride(), strict=True))
    given = list(zip(place.shape, place.strides, strict=True))
    if sorted(wanted) != sorted(given) or len(set(given)) != len(given):
        return None
    return tuple(given.index(dimension) for dimension in wanted)


def _loss_of(criterion: _Criterion, output: Any, batch: int, part: int) -> Tensor:
    first = list(tensors_in(output))[criterion.output]
    rows = criterion.shape[0]
    if criterion.order is not None:
        first = first.permute(criterion.order)
    else:
        first = first.reshape(rows * part // batch, *criterion.shape[1:])
    rest, keywords = _cut((criterion.rest, criterion.keywords), rows, rows * part // batch)
    loss: Tensor = criterion.module(first, *rest, **keywords)
    summed = getattr(criterion.module, "reduction", None) == "sum"
    return loss.mean() * (batch / part if summed else 1.0)


def _cut(values: Any, whole: int, part: int) -> Any:
    """The first `part` rows of every tensor that has `whole` of them."""
    return tree_map(lambda v: v[:part] if isinstance(v, Tensor) and v.dim() and len(v) == whole else v, values)
