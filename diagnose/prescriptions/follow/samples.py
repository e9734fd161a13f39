"""What follows when a step sees another number of samples."""

from __future__ import annotations

from diagnose.diagnosis import Setting
from diagnose.prescriptions import scaling
from diagnose.prescriptions.settings import Settings
from diagnose.setup_rules.normalization import RELIABLE


def lr(before: Settings, after: Settings) -> Setting:
    """The rate for the new batch."""
    rate, old, new = before.number("lr"), before.batch, after.batch
    if not rate or not old or not new or old == new:
        return None
    if before.kind == "other":  # no document tells how its rate follows the batch
        return None
    if before.kind == "adaptive":
        return scaling.adaptive_lr_for_batch(rate, old, new)
    return scaling.lr_for_batch(rate, old, new, dataset_size=before.dataset_size)


def warmup(before: Settings, after: Settings) -> Setting:
    """Epochs of warmup, in steps, for a large batch that has grown."""
    per_epoch = after.steps_per_epoch
    if not before.batch or not after.batch or after.batch <= before.batch or not per_epoch:
        return None
    wanted = scaling.warmup_for_batch(after.batch, per_epoch)
    return wanted if wanted > (before.number("warmup_steps") or 0.0) else None


def normalization(before: Settings, after: Settings) -> Setting:
    """A normalisation that needs no batch, where BatchNorm's has become too small. Micro-batches count singly."""
    size = after.number("batch_size")
    small = size is not None and size < RELIABLE <= (before.number("batch_size") or RELIABLE)
    return "GroupNorm" if small and before.batchnorm else None


def weight_decay(before: Settings, after: Settings) -> Setting:
    """The decay that keeps its time scale in samples."""
    decay, old_rate, new_rate = before.number("weight_decay"), before.number("lr"), after.number("lr")
    if not decay or not before.batch or not after.batch or not old_rate or not new_rate or before.kind == "other":
        return None
    ratios = {"rate_ratio": new_rate / old_rate, "batch_ratio": after.batch / before.batch}
    return scaling.weight_decay_for(decay, **ratios)


def steps(before: Settings, after: Settings) -> Setting:
    """The length that sees as many samples, where it is set in steps."""
    length = before.number("steps")
    if not length or not before.batch or not after.batch:
        return None
    return length * before.batch / after.batch
