"""The loss of some held batches as a function of the weights alone, the model itself left as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from diagnose.errors import InvalidArgumentError
from diagnose.hooks.experiments.batches import Supply, as_batches, size_of
from diagnose.hooks.experiments.losses import LossOf, loss_of
from diagnose.hooks.experiments.untouched import untouched
from diagnose.hooks.layers import unwrapped
from diagnose.hooks.objective import Loss
from diagnose.hooks.probes.curvature import Product, by_differences, by_double_backward
from diagnose.hooks.replay import same_draws

Weights = dict[str, Tensor]
HALF: Final = {torch.float16, torch.bfloat16}


@contextmanager
def loss_over_weights(
    model: nn.Module, criterion: Callable[..., Tensor] | None, data: Any, step: LossOf | None, most: int
) -> Iterator[tuple[Loss, Weights]]:
    """The mean loss over the first `most` batches of `data` as a function of the trained weights, and those weights.

    In evaluation mode: no dropout, and BatchNorm with its running statistics. What is drawn all the same (a diffusion
    model's noise and steps) is drawn alike each time, so that one surface is seen. Everything is as before afterwards.
    Raises `InvalidArgumentError` where there is no batch or no weight that is trained, for complex weights, and for
    weights on several devices.
    """
    inner = unwrapped(model)
    supply = Supply(as_batches(data), model)
    compute = loss_of(criterion, step)
    with untouched(model, criterion, step, data), torch.enable_grad():
        inner.eval()
        batches = list(islice(supply.once(), most))
        weights = {name: p.detach() for name, p in inner.named_parameters() if p.requires_grad}
        if not batches or not weights:
            raise InvalidArgumentError("There is nothing to look at: expected a batch, and weights that are trained.")
        if any(weight.is_complex() for weight in weights.values()):
            raise InvalidArgumentError("Curvature and directions are those of real weights: some here are complex.")
        if len({weight.device for weight in weights.values()}) > 1:
            raise InvalidArgumentError("The weights lie on several devices, and make up no one vector.")
        held = _Held(inner, compute, batches)

        def loss(values: Any) -> Tensor:
            same_draws(inner)
            mean: Tensor = functional_call(held, {f"model.{name}": value for name, value in values.items()}, ())
            return mean

        yield loss, weights


def hessian_product(loss: Loss, weights: Weights) -> Product:
    """V ↦ Hv at the weights: by double backward, or by differences of gradients where a kernel has none.

    Raises `InvalidArgumentError` where neither tells anything: differences are too coarse in half precision.
    """
    try:
        product = by_double_backward(loss, weights)
        product(torch.zeros(sum(w.numel() for w in weights.values()), device=next(iter(weights.values())).device))
    except (RuntimeError, NotImplementedError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        if any(weight.dtype in HALF for weight in weights.values()):
            raise InvalidArgumentError(
                f"The loss cannot be differentiated twice, and differences of gradients in half precision say nothing "
                f"of its curvature: {error}"
            ) from error
        return by_differences(loss, weights)
    return product


class _Held(nn.Module):
    """The mean loss over held batches, each counted by its samples."""

    def __init__(self, model: nn.Module, loss: LossOf, batches: list[Any]) -> None:
        super().__init__()
        self.model = model
        self._loss = loss
        self._batches = batches

    def forward(self) -> Tensor:
        """The mean, a scalar."""
        sizes = [size_of(batch) for batch in self._batches]
        losses = [self._loss(self.model, batch) * size for batch, size in zip(self._batches, sizes, strict=True)]
        return torch.stack(losses).sum() / sum(sizes)
