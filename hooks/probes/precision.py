"""Mixed precision: the loss scale, and the steps that a gradient scaler skips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from diagnose.hooks.stream import Stream


class PrecisionProbe:
    """Watches one gradient scaler; asks it nothing that would wait for the device.

    A scaler leaves `optimizer.step` out where it has found infinite gradients, so that the optimizer's
    own hooks never learn of that step: `on_skip` is called for it instead. Fused optimizers are called
    all the same and skip on the device.
    """

    def __init__(
        self, scaler: GradScaler, optimizer: Callable[[], Optimizer | None], stream: Stream, on_skip: Callable[[], None]
    ) -> None:
        self._scaler = scaler
        self._optimizer = optimizer
        self._stream = stream
        self._on_skip = on_skip
        self._stepped = False
        self._skipped: Tensor | float = 0.0
        self._step = scaler.step
        scaler.step = self._watched_step  # type: ignore[method-assign]

    def close(self) -> None:
        """Give the scaler its own method back; safe to call twice."""
        vars(self._scaler).pop("step", None)

    def measure(self, step: int, optimizer: Optimizer) -> None:
        """Write `loss_scale` and `skipped_steps`; called when the optimizer steps, or would have."""
        self._stepped = True
        found = getattr(optimizer, "found_inf", None)
        if isinstance(found, Tensor):  # a fused optimizer: whether it skips is known on the device alone
            self._skipped = self._skipped + (found > 0).float().reshape(())
        scale = self._scaler._scale
        if scale is not None:
            self._stream.add(step, "loss_scale", scale.reshape(()))
        self._stream.add(step, "skipped_steps", self._skipped)

    def _watched_step(self, optimizer: Optimizer, *arguments: Any, **keywords: Any) -> float | None:
        self._stepped = False
        returned = self._step(optimizer, *arguments, **keywords)
        if optimizer is self._optimizer() and not self._stepped and self._scaler.is_enabled():
            self._skipped = self._skipped + 1.0
            self._on_skip()
        return returned


def unscaled(norms: Tensor, optimizer: Optimizer | None) -> Tensor:
    """Norms without the loss scale that a fused optimizer still has to take out of its gradients."""
    scale = getattr(optimizer, "grad_scale", None)
    return norms.div_(scale.reshape(())) if isinstance(scale, torch.Tensor) else norms
