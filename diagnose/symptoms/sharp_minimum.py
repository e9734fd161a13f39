"""Sharp minimum: the run ends in a narrow valley, with a gap between training and validation.

What it looks like   The training loss is low, the validation loss is not, and the Hessian's largest eigenvalue
                     is large at the end.
How it is told       How many times its own value the training loss rises where the weights shift by one per
                     cent of their length in the sharpest direction: ½ (0.01 ‖θ‖)² λ_max over the last loss,
                     which no unit of loss or weights changes. Ten times or more at the last looks, together
                     with a validation loss that ends above the training loss by half of that one's fall. It
                     needs the eigenvalue, the parameters' norm and both losses, the training loss above 0; the
                     Hessian's trace, where it was measured, is told with it. Without a gap nothing is said:
                     curvature that grows up to the edge of stability is what sound training does.
Why it matters       New data shift the valley a little; in a narrow one that costs much.
Mistaken for         `overfitting` shows in the losses alone, and has more remedies.
When to ignore it    Where the metric that counts is good.
Causes               too_little_regularization, batch_too_large
Sources              K52 (tune-like-a-champ “Fine-tuning Layer(s)”, interdependencies §1); the quadratic form of
                     Keskar et al. 2017's sharpness, made scale-free as by Petzka et al. 2021
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves
from diagnose.findings import Finding, Severity
from diagnose.progress import learned, start
from diagnose.run import Run, Series
from diagnose.signals import HESSIAN_TRACE, PARAM_NORM, SHARPNESS, TRAIN_LOSS, VALIDATION_LOSS

SHIFT = 0.01  # of the weights' length
TIMES_LOSS = 10.0  # Keskar et al. 2017: sharp minima lie one to two orders of magnitude above flat ones
GAP = 0.5  # of the fall of the training loss, between the losses at the end
LAST_LOOKS = 3


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window over the last looks at the curvature."""
    sharpness, length = run.scalar(SHARPNESS), run.scalar(PARAM_NORM)
    train, validation = run.scalar(TRAIN_LOSS), run.scalar(VALIDATION_LOSS)
    if sharpness is None or length is None or train is None or validation is None or not learned(run):
        return
    looks = sharpness.finite
    if len(looks) < LAST_LOOKS or not len(length.finite) or len(validation.finite) < curves.MIN_POINTS:
        return
    last = curves.reduced(train).last_level
    fall = start(train) - last
    gap = curves.reduced(validation).last_level - last
    eigenvalue = float(np.median(looks.values[-LAST_LOOKS:]))
    rise = 0.5 * (SHIFT * float(length.finite.values[-1])) ** 2 * eigenvalue
    if last <= 0 or rise < TIMES_LOSS * last or gap < GAP * fall:
        return
    trace = run.scalar(HESSIAN_TRACE)
    yield Finding(
        id="sharp_minimum",
        severity=Severity.WARNING,
        confidence=0.5 + 0.3 * curves.sigmoid(np.log2(rise / (TIMES_LOSS * last))),
        window=(int(looks.steps[-LAST_LOOKS]), int(looks.steps[-1])),
        summary=(
            f"One per cent of the weights' length in the sharpest direction adds {rise / last:.3g} times the loss, "
            f"and the validation loss ends {gap:.3g} above the training loss."
        ),
        evidence={
            "rise_in_losses": rise / last,
            "sharpness": eigenvalue,
            "gap": gap,
            **({"hessian_trace": _level(trace.finite)} if trace is not None and len(trace.finite) else {}),
        },
    )


def _level(trace: Series) -> float:
    return float(np.median(trace.values[-LAST_LOOKS:]))
