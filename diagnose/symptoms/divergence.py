"""Divergence: the training loss leaves the level it had reached and does not come back.

What it looks like   The loss falls, or never gets to; then it climbs, in a few steps or slowly, and ends
                     far above its best level, often above where it began.
How it is told       The rise from the best smoothed level to the last one, against the progress made
                     before (first level minus best), and against the curve's own noise. A run that never
                     made progress diverges where it ends above its first values; and where all of its second
                     half is ten times as high, or where a classifier ends at twice the loss of a guess,
                     however wildly it is thrown about up there.
Why it matters       The weights at the end are worse than those of an earlier step.
Mistaken for         `loss_spikes` come back; `nan_loss` ends in a non-finite number; `overfitting` rises
                     in the validation loss alone.
When to ignore it    When the loss changed its meaning on purpose in mid-run (a curriculum, a new term).
Causes               lr_too_high, missing_warmup, missing_clipping, bad_data
Sources              K01 (deep-dive §2), K20 (stability-scaling §2)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves
from diagnose.chance import chance_loss
from diagnose.findings import Finding, Severity
from diagnose.run import Run, Series, Values
from diagnose.signals import TRAIN_LOSS

LOST_PROGRESS = 0.5  # share of the fall that is lost again at the end: sound runs stay under 0.2
RISE_OF_FIRST = 0.1  # times the first loss: less above the start is a plateau, not a climb
NOISE_FACTOR = 4.0  # rises under four standard deviations of the curve's own noise are noise
BLOW_UP = 8.0  # times that noise above the last level: training itself has thrown the loss there
NOISE_FACTOR_THROWN = 2.0  # then
FEW_BEFORE = 3  # values, all lower than all that follow
MIN_VALUES = 8  # fewer values do not tell a climb from a bad start
ORDERS = 10.0  # times the first loss, all of the second half: no noise, whatever its size
FEW_VALUES = 4  # then: the loss may overflow within a few steps
LAST_POINTS = 3  # of the reduced curve, before it stops being a number
ABOVE_A_GUESS = 2.0  # times ln(classes): sound classifiers begin at once to twice of it at the most
CLIMB_SHARE = 0.25  # of the rise: where the climb counts as begun


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from where the climb begins to its highest level after."""
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or len(loss.finite) < FEW_VALUES:
        return
    thrown = _thrown_by_orders(loss.finite.values)
    if len(loss.finite) < MIN_VALUES and not thrown:
        return
    raw = curves.reduced(loss)
    curve = curves.smoothed(raw)
    noise = curves.noise(raw.values)
    first_step, first = _start(loss.finite)
    last = curve.last_level
    if not np.isfinite(loss.values[-1]):  # what ends in NaN climbs just before: a tenth would be too long a look
        last = float(np.median(raw.values[-LAST_POINTS:]))
    best_at = int(np.argmin(curve.values))
    best, best_step = float(curve.values[best_at]), int(curve.steps[best_at])
    if first <= best:  # it never got below where it began: the first value is the best level
        best_at, best, best_step = 0, first, first_step
    rise, fall = last - best, first - best
    # What throws a curve so far above where it ends is no noise, and leaves less room for chance.
    factor = NOISE_FACTOR_THROWN if curve.values.max() - last > BLOW_UP * noise else NOISE_FACTOR
    needed = max(LOST_PROGRESS * fall, factor * noise)
    noise_of_one = curves.noise(loss.finite.values)
    if fall <= NOISE_FACTOR * noise_of_one:  # no progress to lose: judge by the loss itself
        needed = max(needed, RISE_OF_FIRST * abs(first))
        if factor == NOISE_FACTOR:  # a single first value may be low by chance
            needed = max(needed, NOISE_FACTOR * noise_of_one)
    if (
        thrown or _left_for_good(raw.values) or _far_above_a_guess(run, last)
    ):  # then the noise up there does not count against it
        needed = min(needed, max(LOST_PROGRESS * fall, RISE_OF_FIRST * abs(first)))
    if rise <= needed or needed <= 0:  # without noise, fall or level there is no scale to judge by
        return
    above_start = thrown or rise - fall > NOISE_FACTOR * noise
    peak = best_at + int(np.argmax(curve.values[best_at:]))
    evidence: dict[str, float | str] = {"loss_first": first, "loss_before": best, "loss_after": last}
    if fall > 0:
        evidence["share_of_progress_lost"] = rise / fall
    if best > 0:
        evidence["growth"] = last / best
    ending = "above its first value" if above_start else "losing most of its progress"
    begin = curves.onset(loss, best_step, best + CLIMB_SHARE * rise)
    yield Finding(
        id="divergence",
        severity=Severity.CRITICAL if above_start or rise > 0.8 * fall else Severity.WARNING,
        confidence=0.5 + 0.49 * curves.sigmoid(2 * (rise / needed - 1.5)),
        window=(begin, max(begin, int(curve.steps[peak]))),
        summary=(
            f"The training loss had reached {best:.3g} at step {best_step} and climbs to {last:.3g}, "
            f"{ending} ({first:.3g} at the start)."
        ),
        evidence=evidence,
    )


def _thrown_by_orders(values: Values) -> bool:
    """Whether a positive loss lies far above its first value throughout its second half."""
    return bool(values.min() > 0 and values[len(values) // 2 :].min() > ORDERS * values[0])


def _far_above_a_guess(run: Run, last: float) -> bool:
    """Whether a classifier ends with a loss that a uniform guess stays far under: no noise of batches does that."""
    chance = chance_loss(run)
    return chance is not None and last > ABOVE_A_GUESS * chance


def _left_for_good(values: Values) -> bool:
    """Whether from some point on every value lies above every value before it.

    By chance, the first t of n values in any order are the lowest ones once in n-over-t times: for three
    of twenty, once in a thousand.
    """
    if len(values) < FEW_BEFORE + MIN_VALUES:
        return False
    lowest_after, highest_before = np.minimum.accumulate(values[::-1])[::-1], np.maximum.accumulate(values)
    return bool((lowest_after[FEW_BEFORE : -MIN_VALUES + 1] > highest_before[FEW_BEFORE - 1 : -MIN_VALUES]).any())


def _start(sound: Series) -> tuple[int, float]:
    """Where the loss begins. A first value of exactly 0 stands for none: some loggers write it before training."""
    at = int(len(sound) > 1 and sound.values[0] == 0 < sound.values[1])
    return int(sound.steps[at]), float(sound.values[at])
