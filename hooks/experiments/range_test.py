"""The learning-rate range test: the rate climbs through a short training, and the loss tells where it works.

    found = diagnose.lr_range_test(model, optimizer, criterion, loader)
    optimizer.param_groups[0]["lr"] = found.suggestion
    diagnose.attach(model, optimizer, config={"lr_range_test": found.suggestion})   # kept: advice on the rate uses it

Sources: K15 (deep-dive §2, tune-like-a-champ “Finding a Good Learning Rate”); Smith 2017, Cyclical Learning Rates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from math import isfinite
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from diagnose.errors import InvalidArgumentError
from diagnose.hooks.experiments.batches import Supply
from diagnose.hooks.experiments.losses import LossOf, loss_of
from diagnose.hooks.experiments.range_curve import FEWEST, LearningRateRange, has_diverged, range_of
from diagnose.hooks.experiments.twins import needs_closure, scaler_twin, twin_of
from diagnose.hooks.experiments.untouched import untouched
from diagnose.hooks.layers import device_of, unwrapped
from diagnose.hooks.replay import autocast as autocast_in

AROUND: Final = 10.0  # times below and above the first suggestion: the second pass


@dataclass(frozen=True)
class _Trial:
    """What is tried: how a step is made at whatever rate; `others` are put back beside the model."""

    model: nn.Module
    optimizer: Optimizer
    others: tuple[object, ...]
    loss: LossOf
    supply: Supply
    micro_batches: int
    autocast: torch.dtype | None
    scaler: GradScaler | None
    max_norm: float | None


def lr_range_test(
    model: nn.Module,
    optimizer: Optimizer,
    criterion: Callable[..., Tensor] | None,
    loader: Iterable[Any],
    *,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = 100,
    zoom: bool = False,
    accumulation_steps: int = 1,
    step: LossOf | None = None,
    autocast: torch.dtype | None = None,
    scaler: GradScaler | None = None,
    max_norm: float | None = None,
) -> LearningRateRange:
    """Train for `steps` optimizer steps while the rate climbs from `lowest` to `highest`, and suggest one.

    The rate is the first parameter group's and grows by one factor a step; the other groups keep their share of it.
    The test ends early where the loss diverges. `zoom` adds a second pass, from the same weights, over the decade
    below and above the first suggestion. A model in evaluation mode is put into training mode meanwhile; parts that
    are in evaluation mode within a model in training mode (a frozen BatchNorm) stay so.

    A batch is (inputs, targets) or a mapping with "labels"; without a `criterion` the model's own `.loss` counts,
    and `step(model, batch)` returns the loss where neither fits. `accumulation_steps` batches make one step;
    `autocast` (torch.bfloat16, say), `scaler` and `max_norm` are those of the training.

    Afterwards weights, buffers, gradients, optimizer, scaler, random generators, modes and the loader are bit for
    bit what they were, also after an exception or Ctrl-C; an attached monitor sees nothing of it. A loader that hands
    out each batch once is used up as far as `notes` says. It holds a second copy of weights and optimizer state. Your
    own hooks run, and what they or `step` write anywhere else (a list, a second model) stays written.

    Raises `InvalidArgumentError` where the model or the optimizer cannot be put back (parts on other ranks, scripted,
    not yet initialised, a state that cannot be copied), where there is nothing to test (no batches, no finite loss, no
    rate, no weight that is trained), where batches do not tell inputs from targets, and for a scaler beside an
    optimizer that goes backward by itself. What the model, the loader or `step` raise comes through.
    """
    if not 0 < lowest < highest < float("inf"):
        raise InvalidArgumentError(
            f"lowest={lowest!r}, highest={highest!r}: expected two rates with 0 < lowest < highest."
        )
    if steps < FEWEST or accumulation_steps < 1:
        raise InvalidArgumentError(
            f"steps={steps!r}, accumulation_steps={accumulation_steps!r}: expected {FEWEST} steps or more, of at least "
            "one batch."
        )
    _check(model, optimizer, scaler)
    trial = _Trial(
        model, optimizer, (criterion, step, loader), loss_of(criterion, step), Supply(loader, model),
        accumulation_steps, autocast, scaler, max_norm,
    )  # fmt: skip
    found = _swept(trial, np.geomspace(lowest, highest, steps))
    if not len(found.losses):
        raise InvalidArgumentError(
            f"No step could be made. {found.stopped} Expected a loader with batches and a finite loss."
        )
    notes: tuple[str, ...] = ()
    if zoom and found.steepest is not None:
        ends = max(found.steepest / AROUND, lowest), min(found.steepest * AROUND, highest)
        closer = _swept(trial, np.geomspace(*ends, steps))
        if len(closer.losses):
            found = replace(found, closer=closer)
        else:
            notes = (f"There was no closer look. {closer.stopped}",)
    return replace(found, notes=(*notes, *trial.supply.notes))


def _check(model: nn.Module, optimizer: Optimizer, scaler: GradScaler | None) -> None:
    """Raises `InvalidArgumentError` where there is no rate to try, or nothing that it would move."""
    for given, wanted, name in ((model, nn.Module, "torch.nn.Module"), (optimizer, Optimizer, "torch.optim.Optimizer")):
        if not isinstance(given, wanted):
            raise InvalidArgumentError(f"lr_range_test(): expected a {name}, not {given!r:.80}.")
    kind = type(optimizer).__name__
    if any(group.get("lr") is None for group in optimizer.param_groups):
        raise InvalidArgumentError(f"{kind} finds its rate by itself (a group has no “lr”): there is none to test.")
    if not any(parameter.requires_grad for group in optimizer.param_groups for parameter in group["params"]):
        raise InvalidArgumentError(f"{kind} holds no parameter that is trained: all are frozen.")
    if scaler is not None and scaler.is_enabled() and needs_closure(optimizer):
        raise InvalidArgumentError(f"{kind} goes backward by itself, which a gradient scaler cannot do: leave one out.")


def _swept(trial: _Trial, rates: Sequence[float] | np.ndarray[Any, Any]) -> LearningRateRange:
    """One pass from the weights as they are; it may have found no batch, or no finite loss."""
    losses: list[float] = []
    stopped = f"The highest rate, {rates[-1]:.3g}, was reached."
    held = [parameter for group in trial.optimizer.param_groups for parameter in group["params"]]
    with (
        untouched(trial.model, *trial.others, parameters=held),
        closing(trial.supply.batches()) as batches,  # type: ignore[type-var]
    ):
        optimizer, scaler = twin_of(trial.optimizer, unwrapped(trial.model)), scaler_twin(trial.scaler)
        shares = _shares(optimizer)
        if not trial.model.training:
            trial.model.train()
        for rate in rates:
            micro_batches = list(islice(batches, trial.micro_batches))
            if not micro_batches:
                stopped = f"The loader had no more batches at a rate of {rate:.3g}."
                break
            _set_rates(optimizer, float(rate), shares)
            loss = _step(trial, optimizer, scaler, micro_batches)
            if not isfinite(loss):
                stopped = f"The loss was no longer a number at a rate of {rate:.3g}."
                break
            losses.append(loss)
            if has_diverged(losses):
                stopped = f"The loss diverged at a rate of {rate:.3g}."
                break
    return range_of(list(rates), losses, stopped)


def _step(trial: _Trial, optimizer: Optimizer, scaler: GradScaler | None, micro_batches: Sequence[Any]) -> float:
    """One optimizer step; returns the mean loss of its micro-batches, at the weights before it."""
    device = device_of(unwrapped(trial.model)).type

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = torch.zeros(())
        with torch.enable_grad():
            for batch in micro_batches:
                with autocast_in(device, trial.autocast) if trial.autocast else torch.enable_grad():
                    loss = trial.loss(trial.model, batch) / len(micro_batches)
                if not loss.requires_grad:
                    raise InvalidArgumentError("The loss of a batch does not depend on any weight that is trained.")
                (loss if scaler is None else scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
                total = total.to(loss.device) + loss.detach()
        if scaler is not None:
            scaler.unscale_(optimizer)
        if trial.max_norm is not None:
            held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(held, trial.max_norm)
        return total

    loss = closure()
    if scaler is not None:
        scaler.step(optimizer)
        scaler.update()
    elif needs_closure(optimizer):
        optimizer.step(closure)  # type: ignore[arg-type]
    else:
        optimizer.step()
    return float(loss)


def _shares(optimizer: Optimizer) -> list[float]:
    """Each group's rate as a share of the first one's; 1 where that is 0, as at the beginning of a warmup."""
    rates = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
    return [rate / rates[0] if rates[0] else 1.0 for rate in rates]


def _set_rates(optimizer: Optimizer, rate: float, shares: Sequence[float]) -> None:
    for group, share in zip(optimizer.param_groups, shares, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate * share)  # a compiled optimizer wants its own tensor
        else:
            group["lr"] = rate * share
