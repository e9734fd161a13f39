"""Underfitting: the training loss levels off at a poor level, and validation does no worse.

What it looks like   Two curves close together that flatten far above what the task allows.
How it is told       The last third of the training loss gains less than a fiftieth of the fall, validation
                     is no further from training than a tenth of that fall, and the run's skill (accuracy
                     corrected for chance as Cohen's κ, or 1 − loss / ln(classes)) is at most 0.4, which
                     is “fair” at best. Without `num_classes` the accuracy's scale is not known: an `info`.
                     Without an accuracy and the number of classes nothing tells a poor level from the best
                     possible, and nothing is said.
Why it matters       The model does not learn even what it is shown: more data or more steps will not help.
Mistaken for         `no_learning` is at chance from the start; `undertrained` and `slow_descent` still fall;
                     `overfitting` and `validation_stall` have a gap; a converged run is at a good level.
When to ignore it    A task whose labels no model can tell apart better (noise, rare events).
Causes               model_too_small, too_much_regularization, lr_too_high, missing_decay, unlearnable_labels
Sources              K42 (deep-dive §5, §6), K44 (deep-dive §7); κ ≤ 0.4: Landis & Koch (1977)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves
from diagnose.chance import POOR, classes, skill
from diagnose.findings import Finding, Severity
from diagnose.run import Run
from diagnose.schedules import share_of_peak, warmup_steps
from diagnose.signals import LR, TRAIN_LOSS, VALIDATION_LOSS
from diagnose.symptoms import divergence, no_learning, oscillation

MIN_VALUES = 40
THIRD = 3
STILL = 0.02  # of the fall: less in a third of the run is level
NARROW = 0.1  # of the fall: a gap between validation and training that is none
NOISE_FACTOR = 4.0  # deviations of the noise: a gap within it is none
KNOWN = 0.1  # of the fall: the standard error of the gain above which nobody can say that it is none
FALLING_SCORE = -2.0  # Mann–Kendall: a trend that may be one
GONE = 0.02  # of the peak rate: a loss that is level since the rate went was not done


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from where the loss has become level to the end."""
    loss, reached = run.scalar(TRAIN_LOSS), skill(run)
    if loss is None or reached is None or reached > POOR or len(loss.finite) < max(MIN_VALUES, len(loss)):
        return
    curve = curves.reduced(loss)
    third = curve.values[-(len(curve) // THIRD) :]
    before, after = float(np.median(third[: len(third) // 2])), float(np.median(third[-(len(third) // 2) :]))
    fall = curves.start_level(loss) - after
    error = curves.step_noise(third) / (len(third) / 4) ** 0.5
    rate = share_of_peak(run.scalar(LR), int(curve.steps[-len(third)]))
    falling = before - after > max(STILL * fall, error)
    if falling or error > KNOWN * fall or (rate is not None and rate < GONE):
        return
    if curves.trend_score(curves.Curve(curve.steps[-len(third) :], third)) < FALLING_SCORE:
        return
    gap = _gap(run, after)
    warming = loss.start + warmup_steps(run.scalar(LR)) >= curve.steps[-len(third)]
    if gap is not None and gap > max(NARROW * fall, NOISE_FACTOR * curves.noise(third)):
        return
    if warming or any(any(other.find(run)) for other in (divergence, no_learning, oscillation)):
        return
    smooth = curves.smoothed(curve)
    high = np.flatnonzero(smooth.values > after + max(NARROW / 2 * fall, curves.noise(curve.values)))
    onset = int(smooth.steps[min(int(high[-1]) + 1, len(smooth) - len(third))]) if len(high) else loss.start
    yield Finding(
        id="underfitting",
        severity=Severity.WARNING if classes(run) else Severity.INFO,
        confidence=0.5 + 0.4 * curves.sigmoid(4 * (POOR - reached) / POOR - 1) if classes(run) else 0.5,
        window=(onset, int(curve.steps[-1])),
        summary=(
            f"The training loss is level at {after:.3g} from step {onset} on, with {max(reached, 0):.0%} of the way "
            f"from guessing to perfect{'' if gap is None else ', and validation is no worse'}."
        ),
        evidence={
            "loss_level": after,
            "skill": reached,
            **({"gap": gap} if gap is not None else {}),
        },
    )


def _gap(run: Run, level: float) -> float | None:
    """The last validation level minus the training loss's; None where no validation loss was logged."""
    validation = run.scalar(VALIDATION_LOSS)
    if validation is None or not len(validation.finite):
        return None
    return curves.reduced(validation).last_level - level
