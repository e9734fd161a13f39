"""Overfitting: the validation loss turns upward while the training loss keeps falling.

What it looks like   Two curves that fall together, then part: a widening gap, the validation loss with
                     its best value well before the end.
How it is told       The rise of the smoothed validation loss from its best to its last level against its
                     noise and against its own fall, with a training loss that is no worse at the end
                     than at that best step. Where the first evaluation was the best, the training loss
                     must have come down by then: the fall lies before it.
Why it matters       Every step after the best one makes the model worse on data it has not seen.
Mistaken for         `divergence` and `late_instability` raise the training loss too; `validation_stall`
                     stops without rising.
When to ignore it    When the metric that counts (accuracy, say) still improves: cross-entropy may rise
                     through overconfidence alone. The severity is lowered to `info` then.
Causes               too_many_epochs, too_little_regularization
Sources              K40 (deep-dive §4, §6), K43 (deep-dive §9)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves
from diagnose.findings import Finding, Severity
from diagnose.run import Run
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

RISE_OF_BEST = 0.05  # times the best validation loss, or the training loss's fall: less is nobody's concern
RISE_OF_FALL = 0.02  # times the validation loss's own fall
NOISE_FACTOR = 3.0  # standard deviations of the validation curve's own noise
LEARNED, IN_NOISE = 0.1, 30.0  # of the first training loss, and of its noise: less of a fall is no learning yet
LOST_FALL = 0.5  # of the validation loss's fall: beyond it no gain in accuracy makes up for the overconfidence
BETTER_METRIC = 0.01  # of accuracy gained since the loss was best: the metric and the loss disagree


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the best validation step to the last."""
    validation, train = run.scalar(VALIDATION_LOSS), run.scalar(TRAIN_LOSS)
    if validation is None or train is None or len(validation.finite) < curves.MIN_POINTS:
        return
    raw = curves.reduced(validation)
    curve = curves.smoothed(raw, width=3)
    best_at = int(np.argmin(curve.values))
    since_best = curve.between(int(curve.steps[best_at]), int(curve.steps[-1]))
    last = min(curve.last_level, since_best.last_level)  # a fall that goes on to the end is no rise
    best, first = float(curve.values[best_at]), float(validation.finite.values[0])
    rise = last - best
    scale = min(abs(best), max(curves.start_level(train) - curves.reduced(train).last_level, 0.0))
    needed = max(RISE_OF_BEST * scale, RISE_OF_FALL * (first - best), NOISE_FACTOR * curves.noise(raw.values))
    if rise <= needed:
        return
    best_step, last_step = int(curve.steps[best_at]), int(curve.steps[-1])
    train_at_best, train_last = _level_at(run, best_step), _level_at(run, last_step)
    if train_at_best is None or train_last is None or train_last > train_at_best:
        return
    # Best at the first evaluation: what was learned before it, only the training loss shows.
    learned_by = train_last if best < first else train_at_best
    begun = float(train.finite.values[0])
    if begun - learned_by < min(LEARNED * abs(begun), IN_NOISE * curves.step_noise(train.finite.values)):
        return  # nothing was learned, so nothing was learned too well
    metric_holds = rise < LOST_FALL * (first - best) and _accuracy_improved_since(run, best_step)
    yield Finding(
        id="overfitting",
        severity=Severity.INFO if metric_holds else Severity.WARNING,
        confidence=(0.5 + 0.49 * curves.sigmoid(rise / needed - 1.5)) * (0.7 if metric_holds else 1.0),
        window=(best_step, last_step),
        summary=(
            f"The validation loss is best at step {best_step} ({best:.3g}) and rises to {last:.3g}, "
            f"while the training loss goes on from {train_at_best:.3g} to {train_last:.3g}."
        ),
        evidence={
            "best_step": best_step,
            "validation_loss_best": best,
            "validation_loss_last": last,
            "train_loss_at_best": train_at_best,
            "train_loss_last": train_last,
            "rise": rise / abs(best) if best else rise,
        },
    )


def _level_at(run: Run, step: int) -> float | None:
    """The smoothed training loss at `step`, None where it has no finite value."""
    train = run.scalar(TRAIN_LOSS)
    if train is None or not len(train.finite):
        return None
    curve = curves.smoothed(curves.reduced(train))
    return float(curve.values[min(int(np.searchsorted(curve.steps, step)), len(curve) - 1)])


def _accuracy_improved_since(run: Run, step: int) -> bool:
    """Whether the validation accuracy was logged and ends clearly above what it was at `step`."""
    accuracy = run.scalar("accuracy/validation")
    if accuracy is None or len(accuracy.finite) < curves.MIN_POINTS:
        return False
    curve = curves.smoothed(curves.reduced(accuracy), width=3)
    then = float(curve.values[min(int(np.searchsorted(curve.steps, step)), len(curve) - 1)])
    return curve.last_level > then + BETTER_METRIC * max(abs(float(curve.values.max())), 1e-12)
