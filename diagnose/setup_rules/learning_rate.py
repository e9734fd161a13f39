"""Rules about the height of the learning rate."""

from __future__ import annotations

from math import sqrt

from diagnose.facts import effective_batch_size, is_adaptive, is_fine_tuning, is_sgd, optimizer_type, planned_peak
from diagnose.findings import Finding
from diagnose.run import Run
from diagnose.schedules import peak_lr
from diagnose.setup_rules import breach
from diagnose.signals import LR

__all__ = ["lr_not_scaled_with_batch", "lr_outside_usual_range"]

ADAPTIVE_RANGE = (1e-4, 1e-3)  # K11 (interdependencies §4)
SGD_RANGE = (0.01, 0.3)  # K11 (interdependencies §4)
FAR = 3.0  # times beyond the range's end: ranges are starts for a search, not limits
FLOAT32 = 1e-6  # relative: logs hold rates as float32
USUAL_BATCH = 256  # samples, the largest of the common starts (K13): rates of larger ones grow with the batch (K07)
LINEAR_UP_TO = 8192  # samples, K08 (interdependencies §1)
ROUNDING = 1.25  # rates are set in round numbers


def usual_range(optimizer: str) -> tuple[float, float] | None:
    """Usual learning rates of an optimizer by its class name, None for kinds without such a range (K11)."""
    if is_adaptive(optimizer):
        return ADAPTIVE_RANGE
    return SGD_RANGE if is_sgd(optimizer) else None


def lr_outside_usual_range(run: Run) -> Finding | None:
    """Learning rate outside its usual range: far above or below what this kind of optimizer takes.

    Usual are 0.01 to 0.3 for SGD and 1e-4 to 1e-3 for Adam and its kin; a rate more than three times
    beyond either end is named. Above 256 samples the upper end grows with the batch. Fine-tuning takes
    lower rates than training from scratch, and a warmup ends higher than it begins: neither is called low.
    Source: K11 (interdependencies §4, deep-dive §2), K07 (interdependencies §1).
    """
    optimizer = optimizer_type(run.setup)
    usual = usual_range(optimizer)
    used = peak_lr(run.scalar(LR)) or run.setup.optimizer_setting("lr")
    planned = planned_peak(run)
    if usual is None or used is None or planned is None:
        return None
    low, high = usual[0], usual[1] * max(1.0, (effective_batch_size(run.setup) or 0.0) / USUAL_BATCH)
    below = planned < low / FAR and not is_fine_tuning(run.setup)
    if not below and used <= high * FAR * (1 + FLOAT32):
        return None
    side = "below" if below else "above"
    return breach(
        "lr_outside_usual_range",
        run,
        f"The learning rate {used:.3g} is {side} the usual range of {optimizer}, {low:g} to {high:.3g}.",
        lr=used,
        usual_low=low,
        usual_high=high,
        side=side,
    )


def scaled_lr(lr: float, batch: float, new_batch: float) -> tuple[float, float]:
    """The lowest and highest rate that `new_batch` asks for, where `lr` was right for `batch`.

    Up to 8192 samples η ∝ B (K07), beyond it η ∝ √B (K08); the root is the careful end everywhere.
    """
    careful = lr * sqrt(new_batch / batch)
    linear = lr * min(new_batch, LINEAR_UP_TO) / min(batch, LINEAR_UP_TO)
    full = linear * sqrt(max(new_batch, LINEAR_UP_TO) / max(batch, LINEAR_UP_TO))
    return min(careful, full), max(careful, full)


def lr_not_scaled_with_batch(run: Run) -> Finding | None:
    """Learning rate not scaled with the batch: it does not follow from the reference that the config names.

    `reference_batch_size` and `reference_lr` in the config tell a pair that worked. A batch k times as
    large asks for a rate between √k and k times as high up to 8192 samples, and for √k beyond; with
    accumulation the batch is that of the whole step.
    Source: K07 (interdependencies §1, stability-scaling §1), K08 (interdependencies §1), K10 (interdependencies §9).
    """
    setup = run.setup
    batch, lr = effective_batch_size(setup), peak_lr(run.scalar(LR)) or setup.optimizer_setting("lr")
    old_batch, old_lr = setup.config_number("reference_batch_size"), setup.config_number("reference_lr")
    planned = planned_peak(run)
    if batch is None or lr is None or planned is None or not old_batch or not old_lr or min(old_batch, old_lr) <= 0:
        return None
    low, high = scaled_lr(old_lr, old_batch, batch)
    if low / ROUNDING <= planned and lr <= high * ROUNDING:
        return None
    side = "above" if lr > high else "below"
    return breach(
        "lr_not_scaled_with_batch",
        run,
        f"{old_lr:g} at a batch of {old_batch:,.0f} asks for {low:.3g} to {high:.3g} at {batch:,.0f}; it is {lr:.3g}.",
        lr=lr,
        batch_size=batch,
        scaled_low=low,
        scaled_high=high,
        side=side,
    )
