"""Unstable curvature: the learning rate is larger than the curvature of the loss allows.

What it looks like   η·λ_max lies well above the line at 2 and does not come back to it.
How it is told       The product of the rate and the Hessian's largest eigenvalue against the limit of the
                     optimizer: 2 for gradient descent, 2(1 + β) with a momentum of β. Twice the limit, at
                     three looks of five or more, for most of the looks or up to the end. Under Adam and its kin the
                     limit holds for another matrix, which is not measured: nothing is said then. A
                     `warning`; `info` where the loss fell and ended at its best. The eigenvalue alone
                     (`sharpness`), with the rate logged, tells the same.
Why it matters       Along the sharpest direction each step overshoots, and the next overshoots further.
Mistaken for         Hovering at the limit is how sound full-batch training behaves (the edge of stability), and
                     the eigenvalue of a part of a batch lies above that of the whole loss: so the limit
                     itself is no threshold. In the first steps the curvature is high and falls.
When to ignore it    While the loss falls all the same.
Causes               lr_too_high, missing_warmup
Sources              K20 (stability-scaling §2), K21 (stability-scaling §2, interdependencies §6); the edge of
                     stability: Cohen et al. 2021, who give the limits with momentum too
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves, facts, layers
from diagnose.findings import Finding, Severity
from diagnose.progress import learned
from diagnose.run import Run, Series
from diagnose.signals import LR, LR_SHARPNESS, SHARPNESS

BEYOND = 2.0  # times the limit: what hovers at the edge stays under it (Cohen et al. 2021, figures 1 to 3)
MIN_LOOKS = 3  # curvature is measured rarely


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first to the last look beyond the limit."""
    product = _product(run)
    momentum = run.setup.optimizer_setting("momentum") or 0.0
    if product is None or len(product) < layers.MIN_SAMPLES:
        return
    if run.setup.optimizer.get("type", "SGD") != "SGD" or not 0 <= momentum < 1:
        return
    limit = facts.stable_below(run.setup)
    beyond = product.values > BEYOND * limit
    held = layers.stretch(beyond)
    looks = int(beyond[held].sum())
    if looks < MIN_LOOKS or (looks < layers.MOST_STEPS * len(beyond) and held.stop < len(beyond)):
        return
    level = float(np.median(product.values[held]))
    fine = learned(run)
    yield Finding(
        id="unstable_curvature",
        severity=Severity.INFO if fine else Severity.WARNING,
        confidence=(0.5 + 0.45 * curves.sigmoid(2 * np.log2(level / (BEYOND * limit)))) * (0.6 if fine else 1.0),
        window=(int(product.steps[held.start]), int(product.steps[held.stop - 1])),
        summary=f"η·λ_max is {level:.3g}, where this optimizer is stable below {limit:.3g}.",
        evidence={
            "lr_sharpness": level,
            "stable_below": limit,
            "looks": looks,
            "from_the_first_step": layers.yes_or_no(held.start == 0),
        },
    )


def _product(run: Run) -> Series | None:
    """η·λ_max as it was logged, or from the eigenvalue and the rate of the same steps."""
    product = run.scalar(LR_SHARPNESS)
    if product is not None:
        return product.finite
    sharpness, rate = run.scalar(SHARPNESS), run.scalar(LR)
    if sharpness is None or rate is None or not len(rate.finite):
        return None
    curve, known = sharpness.finite, rate.finite
    at = np.clip(np.searchsorted(known.steps, curve.steps, side="right") - 1, 0, len(known) - 1)
    return Series(curve.steps, curve.values * known.values[at], curve.wall_times)
