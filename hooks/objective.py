"""The training loss as a function of the weights, to be computed again on a part of the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from diagnose.hooks.layers import batch_of, device_of, tensors_in
from diagnose.hooks.replay import Replay, autocast, autocast_type, copies_of

SHARE = 8  # the loss is computed on this part of the batch: one in SHARE samples
FEWEST = 2  # samples: batch normalisation cannot do with one
TRANSPARENT = Tensor | int | float | complex | str | bytes | None  # other arguments may hide a tensor

Loss = Callable[[Mapping[str, Tensor]], Tensor]


class _Output(NamedTuple):
    """One of the model's output tensors: its memory, held so that nothing else comes to lie there."""

    memory: Tensor  # outside the graph
    version: int  # how often it had been written to
    trained: bool  # whether it depends on the weights


class _View(NamedTuple):
    """How an argument of the criterion follows from the model's output."""

    output: int  # which of its tensors
    order: tuple[int, ...] | None  # the permutation of its dimensions; None where it is a reshape
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Forward:
    """A forward pass: what went in and how."""

    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    own_loss: bool
    batch: int
    autocast: torch.dtype | None


@dataclass(frozen=True)
class _Criterion:
    """A loss module's call: where its arguments show the model's output there is a `_View` in their place."""

    module: nn.Module
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]


class Objective:
    """Notes how one step's loss came about: from a loss module on the model's output, or as `output.loss`.

    What the criterion is given must be the model's output itself, or a view of all of it (flattened,
    transposed), or a constant; anything else in between cannot be done again, and there is no `loss` then.
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
        self._outputs: tuple[_Output, ...] = ()
        self._criterion: _Criterion | None = None
        self._forwards = self._criteria = 0

    @property
    def criteria(self) -> tuple[nn.Module, ...]:
        """The loss module that `loss` would run again, if there is one."""
        return (self._criterion.module,) if self._criterion is not None else ()

    def saw_forward(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any], output: Any) -> None:
        """The model has run; of several micro-batches the last counts."""
        batch = batch_of(arguments, keywords)
        if batch is None or not batch.dim():
            return
        self._forwards += 1
        dtype = autocast_type(batch.device.type)
        own_loss = isinstance(getattr(output, "loss", None), Tensor)
        self._forward = _Forward(arguments, keywords, own_loss, len(batch), dtype)
        # A model that computes its own loss has logits that nobody else may hold: they would cost memory.
        shown = () if own_loss else tensors_in(output)
        self._outputs = tuple(_Output(t.detach(), t._version, t.requires_grad) for t in shown)
        self._criterion = None

    def saw_criterion(self, module: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        """The loss module has run."""
        if self._forward is None:
            return
        self._criteria += 1
        outputs, self._outputs = self._outputs, ()  # their memory is the training's again
        batch = self._forward.batch
        by_sample = [a for a in (*arguments, *keywords.values()) if isinstance(a, list | tuple) and len(a) == batch]
        seen = tree_map(lambda value: _view(value, outputs, batch) or value, (arguments, keywords), is_leaf=_is_tensor)
        if by_sample or not _can_be_done_again(seen, outputs):
            self._forward = None
        else:
            self._criterion = _Criterion(module, *seen)

    def loss(self, replay: Replay) -> Loss | None:
        """The loss on the first SHARE-th of the batch, as a function of the weights by name; None if unknown.

        The loss is a mean over samples, or scaled to the whole batch where the criterion sums. To be called
        within `beside_training`, whose `replay` runs the model.
        """
        forward, criterion = self._forward, self._criterion
        if forward is None or (criterion is None and not forward.own_loss):
            return None
        if criterion is not None and self._criteria != self._forwards:
            return None  # the loss is made of several terms, of which this would be one
        part = min(forward.batch, max(FEWEST, -(-forward.batch // SHARE)))

        def compute(weights: Mapping[str, Tensor]) -> Tensor:
            with autocast(device_of(self._model).type, forward.autocast):
                inputs = _cut((forward.arguments, forward.keywords), {forward.batch: part})
                output = replay.output_of(weights, *inputs)
                if criterion is None:
                    loss: Tensor = output.loss
                    return loss.mean()
                return _loss_of(criterion, output, forward.batch, part)

        return compute


def _view(given: Any, outputs: Sequence[_Output], batch: int) -> _View | None:
    """Which output an argument of the criterion shows, and how; None where it shows none that is as it was."""
    if not _is_tensor(given) or not given.dim():
        return None
    for number, (output, version, trained) in enumerate(outputs):
        if given.data_ptr() != output.data_ptr() or given.numel() != output.numel() or given.dtype != output.dtype:
            continue
        if given._version != version or given.requires_grad != trained:
            continue
        order = _permutation(given, output)
        if order is not None or (given.is_contiguous() and output.is_contiguous() and not len(given) % batch):
            return _View(number, order, tuple(given.shape))
    return None


def _can_be_done_again(seen: Any, outputs: Sequence[_Output]) -> bool:
    """Whether a criterion's arguments are views of the output and constants, the loss depending on the former."""
    leaves = tree_leaves(seen, is_leaf=_is_view)
    views = [leaf for leaf in leaves if _is_view(leaf)]
    constants = [leaf for leaf in leaves if not _is_view(leaf)]
    return (
        any(outputs[view.output].trained for view in views)
        and all(isinstance(leaf, TRANSPARENT) for leaf in constants)
        and not any(leaf.requires_grad for leaf in constants if _is_tensor(leaf))
    )


def _permutation(view: Tensor, output: Tensor) -> tuple[int, ...] | None:
    """How the dimensions of `output` were permuted to give `view`; None where they were not."""
    wanted = list(zip(view.shape, view.stride(), strict=True))
    given = list(zip(output.shape, output.stride(), strict=True))
    if sorted(wanted) != sorted(given) or len(set(given)) != len(given):
        return None
    return tuple(given.index(dimension) for dimension in wanted)


def _loss_of(criterion: _Criterion, output: Any, batch: int, part: int) -> Tensor:
    outputs = list(tensors_in(output))
    call = criterion.arguments, criterion.keywords
    # Flattened tokens come with targets that have as many rows.
    flat = [leaf.shape[0] for leaf in tree_leaves(call, is_leaf=_is_view) if _is_view(leaf) and leaf.order is None]
    constants = copies_of(_cut(call, {rows: rows * part // batch for rows in (batch, *flat)}))
    arguments, keywords = tree_map(
        lambda leaf: _shown(leaf, outputs, batch, part) if _is_view(leaf) else leaf, constants, is_leaf=_is_view
    )
    loss: Tensor = criterion.module(*arguments, **keywords)
    summed = getattr(criterion.module, "reduction", None) == "sum"
    return loss.mean() * (batch / part if summed else 1.0)


def _shown(view: _View, outputs: Sequence[Tensor], batch: int, part: int) -> Tensor:
    """The view of the output of a part of the batch."""
    output = outputs[view.output]
    if view.order is not None:
        return output.permute(view.order)
    return output.reshape(view.shape[0] * part // batch, *view.shape[1:])


def _cut(values: Any, sizes: Mapping[int, int]) -> Any:
    """The first rows of every tensor that has one of the sizes' numbers of them: as many as it is mapped to."""
    return tree_map(
        lambda v: v[: sizes[len(v)]] if isinstance(v, Tensor) and v.dim() and len(v) in sizes else v,
        values,
        is_leaf=_is_view,
    )


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def _is_view(value: object) -> bool:
    return isinstance(value, _View)
