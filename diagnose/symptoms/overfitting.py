"""Overfitting: the validation loss turns upward while the training loss keeps falling.

What it looks like   Two curves that fall together, then part: a widening gap, the validation loss with
                     its best value well before the end.
How it is told       The rise of the smoothed validation loss from its best to its last level against its
                     noise and against its own fall, with a training loss that is no worse at the end
                     than at that best step. Where the first evaluation was the best, the training loss
                     must have come down by then: the fall lies before it. Without a training loss, a rise
                     that gives back a tenth of the fall or more is told, at a confidence of 0.6.
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
from math import inf
from typing import NamedTuple

import numpy as np

from diagnose import curves
from diagnose.findings import Finding, Severity
from diagnose.run import Run, Series
from diagnose.schedules import rate_rises
from diagnose.signals import LR, TRAIN_LOSS, VALIDATION_LOSS

RISE_OF_BEST = 0.05  # times the best validation loss, or the training loss's fall: less is nobody's concern
RISE_OF_FALL = 0.02  # times the validation loss's own fall
NOISE_FACTOR = 3.0  # standard deviations of the validation curve's own noise
LEARNED, IN_NOISE = 0.1, 30.0  # of the first training loss, and of its noise: less of a fall is no learning yet
GIVEN_BACK = 0.1  # of the validation loss's fall, where no training loss tells more
LEAST = 0.02  # of the first training loss, where it has no noise to tell
LOST_FALL = 0.5  # of the validation loss's fall: beyond it no gain in accuracy makes up for the overconfidence
BETTER_METRIC = 0.01  # of accuracy gained since the loss was best: the metric and the loss disagree


class _Turn(NamedTuple):
    """Where the smoothed validation loss was best, and what became of it."""

    best_step: int
    last_step: int
    first: float
    best: float
    last: float
    noise: float

    @property
    def rise(self) -> float:
        """How far the last level lies above the best."""
        return self.last - self.best

    def beyond(self, scale: float) -> float:
        """The rise in units of what noise and indifference allow, where losses are counted in `scale`."""
        allowed = max(RISE_OF_BEST * scale, RISE_OF_FALL * (self.first - self.best), NOISE_FACTOR * self.noise)
        return self.rise / max(allowed, 1e-300)


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the best validation step to the last."""
    validation, train = run.scalar(VALIDATION_LOSS), run.scalar(TRAIN_LOSS)
    if validation is None or len(validation.finite) < curves.MIN_POINTS:
        return
    turn = _turn(validation)
    if turn.rise <= 0:
        return
    if train is None:
        yield from _by_validation_alone(run, turn)
    elif len(train.finite):
        yield from _by_both(run, turn, train)


def _by_both(run: Run, turn: _Turn, train: Series) -> Iterator[Finding]:
    beyond = turn.beyond(min(abs(turn.best), max(curves.start_level(train) - curves.reduced(train).last_level, 0.0)))
    at_best, at_last = _level_at(train, turn.best_step), _level_at(train, turn.last_step)
    if beyond <= 1 or at_last > at_best:
        return
    # Best at the first evaluation: what was learned before it, only the training loss shows.
    learned_by = at_last if turn.best < turn.first else at_best
    begun = float(train.finite.values[0])
    least = min(LEARNED * abs(begun), max(IN_NOISE * curves.step_noise(train.finite.values), LEAST * abs(begun)))
    if begun - learned_by < least:
        return  # nothing was learned, so nothing was learned too well
    metric_holds = turn.rise < LOST_FALL * (turn.first - turn.best) and _accuracy_improved_since(run, turn.best_step)
    yield Finding(
        id="overfitting",
        severity=Severity.INFO if metric_holds else Severity.WARNING,
        confidence=(0.5 + 0.49 * curves.sigmoid(beyond - 1.5)) * (0.7 if metric_holds else 1.0),
        window=(turn.best_step, turn.last_step),
        summary=(
            f"The validation loss is best at step {turn.best_step} ({turn.best:.3g}) and rises to {turn.last:.3g}, "
            f"while the training loss goes on from {at_best:.3g} to {at_last:.3g}."
        ),
        evidence={**_evidence(turn), "train_loss_at_best": at_best, "train_loss_last": at_last},
    )


def _by_validation_alone(run: Run, turn: _Turn) -> Iterator[Finding]:
    """Where no training loss was logged: a rise that gives back a part of the fall, and not more than all of it."""
    beyond = turn.beyond(abs(turn.best))
    back = turn.rise / (turn.first - turn.best) if turn.first > turn.best else inf
    if beyond <= 1 or not GIVEN_BACK <= back <= 1 or _accuracy_improved_since(run, turn.best_step):
        return
    if rate_rises(run.scalar(LR), turn.best_step, turn.last_step):  # the schedule's
        return
    yield Finding(
        id="overfitting",
        severity=Severity.WARNING,
        confidence=0.4,  # before the calibration, about 0.6 after it
        window=(turn.best_step, turn.last_step),
        summary=(
            f"The validation loss is best at step {turn.best_step} ({turn.best:.3g}) and rises to {turn.last:.3g}; no "
            "training loss was logged, which would tell whether the model memorises or the training turns unstable."
        ),
        evidence=_evidence(turn),
    )


def _turn(validation: Series) -> _Turn:
    raw = curves.reduced(validation)
    curve = curves.smoothed(raw, width=3)
    best_at = int(np.argmin(curve.values))
    since_best = curve.between(int(curve.steps[best_at]), int(curve.steps[-1]))
    return _Turn(
        int(curve.steps[best_at]),
        int(curve.steps[-1]),
        first=float(validation.finite.values[0]),
        best=float(curve.values[best_at]),
        last=min(curve.last_level, since_best.last_level),  # a fall that goes on to the end is no rise
        noise=curves.noise(raw.values),
    )


def _evidence(turn: _Turn) -> dict[str, float | str]:
    return {
        "best_step": turn.best_step,
        "validation_loss_best": turn.best,
        "validation_loss_last": turn.last,
        "rise": turn.rise / abs(turn.best) if turn.best else turn.rise,
    }


def _level_at(train: Series, step: int) -> float:
    """The smoothed training loss at `step`."""
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
