"""Mixed precision: the loss scale, and the steps that a gradient scaler skips."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from diagnose.hooks.guard import STEPS, Guard
from diagnose.hooks.stream import Stream
from diagnose.hooks.tapping import Functions, Listeners, Tapped


class PrecisionProbe:
    """Watches one gradient scaler; asks it nothing that would wait for the device.

    A scaler leaves `optimizer.step` out where it has found infinite gradients, so that the optimizer's
    own hooks never learn of that step: `on_skip` is called for it instead. Fused optimizers are called
    all the same and skip on the device. The scaler itself is left as it is, and can be saved and copied.
    """

    def __init__(
        self,
        scaler: GradScaler,
        optimizers: Iterable[Optimizer],
        stream: Stream,
        guard: Guard,
        on_skip: Callable[[Optimizer], None],
    ) -> None:
        self.scaler = scaler
        self._optimizers = optimizers
        self._stream = stream
        self._guard = guard
        self._on_skip = on_skip
        self._stepped = False
        self._skipped: Tensor | float = 0.0
        _SCALERS.add(self)

    def close(self) -> None:
        """Watch no longer; safe to call twice."""
        _SCALERS.discard(self)

    def measure(self, step: int, optimizer: Optimizer) -> None:
        """Write `loss_scale` and `skipped_steps`; called when the optimizer steps, or would have."""
        self._stepped = True
        found = getattr(optimizer, "found_inf", None)
        if isinstance(found, Tensor):  # a fused optimizer: whether it skips is known on the device alone
            self._skipped = self._skipped + (found > 0).float().reshape(())
        scale = self.scaler._scale
        if scale is not None:
            self._stream.add(step, "loss_scale", scale.reshape(()))
        self._stream.add(step, "skipped_steps", self._skipped)

    def before(self) -> None:
        """The scaler is about to have an optimizer step, or not."""
        self._stepped = False

    def after(self, optimizer: Optimizer) -> None:
        """It has: where the optimizer is one of ours and did not step, its step was skipped."""
        if not self._stepped and self.scaler.is_enabled() and any(optimizer is one for one in self._optimizers):
            self._skipped = self._skipped + 1.0
            self._guard.run(STEPS, self._on_skip, optimizer)


def _watched(originals: Functions, watching: Listeners[PrecisionProbe]) -> Functions:
    original = originals["step"]

    def step(scaler: GradScaler, optimizer: Optimizer, *arguments: Any, **keywords: Any) -> float | None:
        probes = [probe for probe in watching if probe.scaler is scaler]
        for probe in probes:
            probe.before()
        returned: float | None = original(scaler, optimizer, *arguments, **keywords)
        for probe in probes:
            probe.after(optimizer)
        return returned

    return {"step": step}


_SCALERS: Tapped[PrecisionProbe] = Tapped(GradScaler, ("step",), _watched)


def unscaled(norms: Tensor, optimizer: Optimizer | None) -> Tensor:
    """Norms without the loss scale that a fused optimizer still has to take out of its gradients."""
    scale = getattr(optimizer, "grad_scale", None)
    return norms.div_(scale.reshape(())) if isinstance(scale, torch.Tensor) else norms
