"""Validation stall: the validation loss stops improving, without rising, while the training loss goes on falling.

What it looks like   Two curves that fall together; one bends into a level line, the other goes on down.
How it is told       (1) The last two fifths of the validation curve have no trend (Mann–Kendall) and gain
                     less than a fiftieth of its fall, while in the same stretch the training loss gains at
                     least a twentieth of its own. With a rate still at half of its peak or more it is a
                     `warning`: the steps may be too large for what is left. With a rate that has gone
                     down, or was not logged, it is an `info`: the model may have learned what these data
                     can teach it.
                     (2) Over the last half the validation loss has no trend, and changes by a tenth of its
                     level from one evaluation to the next, although it is taken on the same data: at a rate
                     still at half of its peak or more, with a skill of at most 0.9, a `warning`.
Why it matters       From there on the steps serve the training data alone.
Mistaken for         `overfitting` rises from its best level; where both curves are level, the run has
                     converged, or it is `underfitting`; a validation accuracy that still improves is none.
When to ignore it    When the training loss falls by its regularisation's share alone (augmentation being
                     switched off, label smoothing annealed).
Causes               missing_decay, too_many_epochs, too_little_regularization
Sources              K04 (deep-dive §2), K40 (deep-dive §4)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves
from diagnose.chance import VALIDATION_ACCURACY, accuracy, skill
from diagnose.findings import Finding, Severity
from diagnose.run import Run
from diagnose.schedules import share_of_peak
from diagnose.signals import LR, TRAIN_LOSS, VALIDATION_LOSS
from diagnose.symptoms import divergence, overfitting

MIN_EVALUATIONS = 20  # so that two fifths hold the eight values that anything needs
STALLED_SHARE = 0.4  # of the run
STILL = 0.02  # of the validation loss's fall: what overfitting counts as a rise (RISE_OF_FALL), turned round
TRAIN_GAIN = 0.05  # of the training loss's fall: it goes on
TREND = 3.0  # Mann–Kendall: one chance in a thousand without a trend
NOISE_FACTOR = 4.0  # deviations of the noise: a gain of the training loss that is none of it
HIGH_RATE = 0.5  # of the peak
SWING = 0.1  # of the level, from one evaluation to the next: the data are the same, so the weights are thrown about
GOOD = 0.9  # skill beyond which nobody asks for more, and swings of what little loss is left say nothing


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the last improvement to the end."""
    found = next(_left_behind(run), None) or _swings(run)
    if found is not None:
        yield found


def _left_behind(run: Run) -> Iterator[Finding]:
    """Case 1: level, while the training loss goes on."""
    validation, train = run.scalar(VALIDATION_LOSS), run.scalar(TRAIN_LOSS)
    if validation is None or train is None or not len(train.finite) or len(validation.finite) < MIN_EVALUATIONS:
        return
    curve = curves.smoothed(curves.reduced(validation), 3)
    begin = int(curve.steps[0] + (1 - STALLED_SHARE) * (curve.steps[-1] - curve.steps[0]))
    late = curves.reduced(validation).between(begin, int(curve.steps[-1]))
    if len(late) < curves.MIN_POINTS or abs(curves.trend_score(late)) > TREND:
        return
    fall = float(validation.finite.values[0]) - curve.last_level
    noise = curves.step_noise(late.values)
    gain = float(np.median(late.values[: len(late) // 3]) - np.median(late.values[-(len(late) // 3) :]))
    if fall <= NOISE_FACTOR * noise or abs(gain) > max(STILL * fall, noise):
        return
    both = curves.smoothed(curves.reduced(train))
    train_then, train_last = float(curves.level_at(both, begin)), both.last_level
    train_gain, train_fall = train_then - train_last, curves.start_level(train) - train_last
    goes_on = curves.trend_score(curves.reduced(train).between(begin, int(train.steps[-1]))) < -TREND
    if not goes_on or train_gain < max(TRAIN_GAIN * train_fall, NOISE_FACTOR * curves.step_noise(both.values)):
        return
    if _accuracy_improves(run, begin) or any(overfitting.find(run)):
        return
    onset = _stalled_since(curve, float(np.median(late.values)), max(STILL * fall, 2 * noise))
    rate = share_of_peak(run.scalar(LR), int(curve.steps[-1]))
    high = rate is not None and rate >= HIGH_RATE
    yield Finding(
        id="validation_stall",
        severity=Severity.WARNING if high else Severity.INFO,
        confidence=0.5 + 0.4 * curves.sigmoid(2 * (train_gain / (TRAIN_GAIN * train_fall) - 1.5)),
        window=(onset, int(curve.steps[-1])),
        summary=(
            f"The validation loss stays at {curve.last_level:.3g} from step {onset} on, "
            f"while the training loss goes on to {train_last:.3g}."
        ),
        evidence={
            "kind": "left_behind",
            "validation_loss_level": curve.last_level,
            "train_loss_at_onset": float(curves.level_at(both, onset)),
            "train_loss_last": train_last,
            "rate_is_high": "yes" if high else "no",
            **({"rate_at_end_of_peak": rate} if rate is not None else {}),
        },
    )


def _swings(run: Run) -> Finding | None:
    """Case 2: no better over the last half, and thrown to and fro by steps that are still large."""
    validation, rate = run.scalar(VALIDATION_LOSS), share_of_peak(run.scalar(LR), run.steps)
    if validation is None or not MIN_EVALUATIONS <= len(validation.finite) == len(validation):
        return None
    if rate is None or rate < HIGH_RATE or (skill(run) or 0) > GOOD:
        return None
    curve = curves.reduced(validation)
    late = curves.Curve(curve.steps[len(curve) // 2 :], curve.values[len(curve) // 2 :])
    level, noise = float(np.median(late.values)), curves.step_noise(late.values)
    fall = float(validation.values[0]) - level
    if level <= 0 or noise < SWING * level or fall <= NOISE_FACTOR * noise / len(late) ** 0.5:
        return None
    if abs(curves.trend_score(late)) > TREND or _accuracy_improves(run, int(late.steps[0])):
        return None
    if any(any(other.find(run)) for other in (divergence, overfitting)):
        return None
    return Finding(
        id="validation_stall",
        severity=Severity.WARNING,
        confidence=0.5 + 0.4 * curves.sigmoid(2 * (noise / (SWING * level) - 1.5)),
        window=(int(late.steps[0]), int(late.steps[-1])),
        summary=(
            f"The validation loss is no better over the last half of the run, at {level:.3g}, and changes by about "
            f"{noise / level:.0%} from one evaluation to the next, at {rate:.0%} of the highest rate."
        ),
        evidence={
            "kind": "swings",
            "validation_loss_level": level,
            "swing": noise / level,
            "rate_is_high": "yes",
            "rate_at_end_of_peak": rate,
        },
    )


def _stalled_since(curve: curves.Curve, level: float, tolerance: float) -> int:
    """The step from which on the curve is never again above its last level, but for `tolerance`."""
    above = np.flatnonzero(curve.values > level + tolerance)
    return int(curve.steps[min(int(above[-1]) + 1, len(curve) - 1)]) if len(above) else int(curve.steps[0])


def _accuracy_improves(run: Run, since: int) -> bool:
    """Whether the validation accuracy was logged and has a rising trend from step `since` on."""
    share = accuracy(run.scalar(VALIDATION_ACCURACY))
    if share is None:
        return False
    return curves.trend_score(curves.reduced(share).between(since, int(share.steps[-1]))) > TREND
