"""Rules about the rise of the learning rate at the start."""

from __future__ import annotations

from diagnose.facts import effective_batch_size, is_fine_tuning, steps_per_epoch, warms_up
from diagnose.findings import Finding
from diagnose.run import Run
from diagnose.schedules import warmup_steps
from diagnose.setup_rules import breach
from diagnose.signals import LR

__all__ = ["large_batch_without_warmup", "long_warmup_in_fine_tuning", "short_warmup_for_large_batch"]

LARGE_BATCH = 1024  # samples, K22 (interdependencies §6)
LEAST_EPOCHS = 5  # of warmup for a large batch, K22
LITTLE = 0.1  # of the run: K23 says little or none; published fine-tuning takes 0.06 (RoBERTa, Liu et al. 2019)


def large_batch_without_warmup(run: Run) -> Finding | None:
    """Large batch without warmup: more than 1024 samples a step and a rate that starts at its peak.

    Large batches want a linear warmup over 5 to 10 epochs; accumulated micro-batches count as one batch.
    Source: K22 (interdependencies §6), K10 (interdependencies §9).
    """
    batch = effective_batch_size(run.setup)
    if batch is None or batch <= LARGE_BATCH or is_fine_tuning(run.setup) or warms_up(run) is not False:
        return None
    return breach(
        "large_batch_without_warmup",
        run,
        f"A batch of {batch:,.0f} starts at the full rate: above 1,024, 5–10 epochs of warmup are usual.",
        batch_size=batch,
    )


def short_warmup_for_large_batch(run: Run) -> Finding | None:
    """Short warmup for a large batch: more than 1024 samples a step and a warmup under five epochs.

    Source: K22, K24 (interdependencies §6).
    """
    batch, per_epoch = effective_batch_size(run.setup), steps_per_epoch(run.setup)
    rise = warmup_steps(run.scalar(LR))
    if batch is None or batch <= LARGE_BATCH or not per_epoch or not rise or is_fine_tuning(run.setup):
        return None
    epochs = rise / per_epoch
    if epochs >= LEAST_EPOCHS:
        return None
    return breach(
        "short_warmup_for_large_batch",
        run,
        f"A batch of {batch:,.0f} warms up over {epochs:.2g} epochs: above 1,024 samples, 5–10 are usual.",
        batch_size=batch,
        warmup_steps=rise,
        warmup_epochs=epochs,
    )


def long_warmup_in_fine_tuning(run: Run) -> Finding | None:
    """Long warmup in fine-tuning: pretrained weights, and a tenth of the run or more goes into warmup.

    Pretrained weights are well scaled, and need little or no warmup. Source: K23 (interdependencies §6).
    """
    rise = warmup_steps(run.scalar(LR))
    if not is_fine_tuning(run.setup) or not run.finished or not run.length or rise < LITTLE * run.length:
        return None
    return breach(
        "long_warmup_in_fine_tuning",
        run,
        f"{rise:,} of {run.length:,} steps are warmup, although the model is pretrained: it needs little or none.",
        warmup_steps=rise,
        steps=run.length,
    )
