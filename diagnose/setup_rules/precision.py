"""Rules about the precision of the numbers."""

from __future__ import annotations

import numpy as np

from diagnose.findings import Finding
from diagnose.run import Run
from diagnose.setup_rules import breach
from diagnose.signals import TRAIN_LOSS

__all__ = ["half_precision_losses", "half_precision_weights", "half_precision_without_loss_scaling"]

COARSE = 16  # parts of a whole: rounder numbers are float16 ones anyway
HALF = ("float16", "torch.float16")


def half_precision_without_loss_scaling(run: Run) -> Finding | None:
    """Half precision without loss scaling: autocast computes in float16, and no gradient scaler is seen.

    Gradients under 6e-8 become zero in float16; a gradient scaler lifts them out of there, and its scale and
    skipped steps are worth watching: pass it as `diagnose.attach(..., scaler=scaler)`. bfloat16 needs none.
    Source: K35 (stability-scaling §7).
    """
    used = run.setup.environment.get("autocast")
    if used not in HALF or run.setup.environment.get("grad_scaler"):
        return None
    return breach(
        "half_precision_without_loss_scaling",
        run,
        "Autocast computes in float16 and attach() was given no gradient scaler: small gradients become zero without"
        " one, and with one its scale and skipped steps should be watched (scaler=…).",
        confidence=0.7,
        autocast="float16",
    )


def half_precision_weights(run: Run) -> Finding | None:
    """Weights in half precision: the optimizer updates float16 numbers.

    An update below 1/2048 of a weight is lost in float16; mixed precision keeps the weights in float32 and
    computes in float16 with a scaled loss (Micikevicius et al. 2018). Source: K35 (stability-scaling §7).
    """
    if run.setup.model.get("dtype") not in HALF:
        return None
    return breach(
        "half_precision_weights",
        run,
        "The weights themselves are float16: updates below 1/2048 of a weight are lost. Keep them in float32 and use"
        " autocast with a gradient scaler.",
        dtype="float16",
    )


def half_precision_losses(run: Run) -> Finding | None:
    """Losses in half precision: every logged training loss is a float16 number.

    One float32 number in 8,192 is one by chance. Autocast computes losses in float32: this one was computed by
    a model that is float16 throughout, with no float32 copy to add small steps to. Source: K35 (stability-scaling §7).
    """
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or not len(loss.finite):
        return None
    values = loss.finite.values
    with np.errstate(over="ignore"):
        half = (values.astype(np.float16) == values).all()
    if not half or (values * COARSE == np.round(values * COARSE)).all():
        return None
    return breach(
        "half_precision_losses",
        run,
        "Every logged training loss is a float16 number: the model computes in half precision throughout.",
        confidence=0.8,
        losses=len(values),
    )
