"""Slow descent: the loss falls steadily but so slowly that the run ends long before it is done.

What it looks like   A nearly straight slope from the first step to the last: no knee, no plateau.
How it is told       (1) The last third of the run contributes about as much as the others, the trend there
                     is beyond doubt (Mann–Kendall), and at its slope the loss still left would take
                     longer than the whole run. Healthy curves do most of their fall early.
                     (2) All updates laid end to end are under a tenth of the weights' norm, while the loss
                     falls beyond doubt and more than half of it is left. Measured in the rate spent (the sum
                     of the rates so far: a decayed rate cannot fall fast) its second half still brings at
                     least a tenth of the fall. The weights must be freshly drawn: fine-tuning moves little
                     on purpose.
Why it matters       The budget goes into steps that are too small.
Mistaken for         `undertrained` falls fast but is cut off; `plateau` and `no_learning` do not fall.
When to ignore it    A schedule that is still warming up; fine-tuning at a low rate on purpose.
Causes               lr_too_low, too_few_epochs
Sources              K02 (deep-dive §2), K06 (interdependencies §1)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves, facts, progress
from diagnose.findings import Finding, Severity
from diagnose.initialization import freshly_drawn
from diagnose.run import Run
from diagnose.schedules import warmup_steps
from diagnose.signals import LR, TRAIN_LOSS

FALLING_SCORE = -3.0  # Mann–Kendall: one chance in a thousand without a trend
LATE_SHARE = (
    0.22  # of the whole fall in the last third: a straight line has 0.33, an exponential over 3 time constants 0.09
)
MOST_LATE = 0.5  # of the whole fall: with more in the last third it speeds up, and is no straight line
LEFT_TO_FALL = 0.5  # of the first loss still there: a run that has halved its loss is not crawling
FIRST_VALUES = 3
NOISE_FACTOR = 3.0  # standard deviations of the first level
SHORT_PATH = 0.1  # of the weights' norm: updates that add up to less leave the weights about where they were drawn
SECOND_HALF = 0.1  # of the fall, in the second half of the rate spent: an exponential's after 2.2 of its time constants
MIN_CURVE = 20  # points: thirds of fewer say nothing


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the end of warmup to the last step."""
    loss = run.scalar(TRAIN_LOSS)
    if loss is None:
        return
    warm = warmup_steps(run.scalar(LR))
    curve = curves.reduced(loss).between(loss.start + warm, int(loss.steps[-1]))
    if len(curve) < MIN_CURVE:
        return
    # The very first values, not the first tenth: a knee within that tenth is a healthy one.
    first, last = float(np.median(loss.finite.values[:FIRST_VALUES])), curve.last_level
    if first - last <= NOISE_FACTOR * curves.noise(loss.finite.values) / FIRST_VALUES**0.5:
        yield from _by_the_updates(run, curve, first)
        return
    if first <= 0 or last < LEFT_TO_FALL * first:
        return
    straight = _straight_line(curve, first)
    if straight is not None:
        yield straight
    else:
        yield from _by_the_updates(run, curve, first)


def _straight_line(curve: curves.Curve, first: float) -> Finding | None:
    """Case 1: as much of the fall in the last third as in the first."""
    third, last = len(curve) // 3, curve.last_level
    late = curve.between(int(curve.steps[-third]), int(curve.steps[-1]))
    speed = -curves.slope(late)
    if curves.trend_score(late) > FALLING_SCORE or speed <= 0:  # a staircase has a trend and no slope
        return None
    smooth = curves.smoothed(curve).values[:-third]
    if float(smooth.min()) < last - NOISE_FACTOR * curves.step_noise(curve.values):  # it had been lower before
        return None
    late_share = speed * float(late.steps[-1] - late.steps[0]) / (first - last)
    remaining = last / speed
    if not LATE_SHARE <= late_share <= MOST_LATE or remaining < int(curve.steps[-1] - curve.steps[0]):
        return None
    return Finding(
        id="slow_descent",
        severity=Severity.WARNING,
        confidence=0.5 + 0.45 * curves.sigmoid(20 * (late_share - LATE_SHARE - 0.03)),
        window=(int(curve.steps[0]), int(curve.steps[-1])),
        summary=(
            f"The training loss falls in a nearly straight line from {first:.3g} to {last:.3g}; "
            f"at its last slope the rest would take {remaining:,.0f} more steps."
        ),
        evidence={
            "kind": "straight",
            "loss_first": first,
            "loss_last": last,
            "share_of_fall_in_last_third": late_share,
            "steps_to_go_at_this_slope": remaining,
        },
    )


def _by_the_updates(run: Run, curve: curves.Curve, first: float) -> Iterator[Finding]:
    """Case 2: the weights hardly left where they were drawn, and the loss falls as far as that takes it."""
    path, last = progress.path(run), curve.last_level
    if path is None or run.start > 0 or first <= 0 or last < LEFT_TO_FALL * first:
        return
    if path >= SHORT_PATH or facts.is_fine_tuning(run.setup) or not freshly_drawn(run):
        return
    half = _half_of_the_rate(run, curve)
    falls = curves.trend_score(curve) < FALLING_SCORE and curve.first_level > last
    begin = max(first, curve.first_level)
    if not falls or half - last < SECOND_HALF * (begin - last):
        return
    yield Finding(
        id="slow_descent",
        severity=Severity.WARNING,
        confidence=0.5 + 0.45 * curves.sigmoid(2 * np.log(SHORT_PATH / max(path, 1e-12))),
        window=(int(curve.steps[0]), int(curve.steps[-1])),
        summary=(
            f"The training loss falls from {begin:.3g} to {last:.3g} only: all updates together moved the weights "
            f"by at most {path:.2g} of their norm."
        ),
        evidence={"kind": "short_path", "loss_first": begin, "loss_last": last, "path_to_norm": path},
    )


def _half_of_the_rate(run: Run, curve: curves.Curve) -> float:
    """The loss at the point by which half of the summed rate was spent: half of the run where none was logged."""
    lr = run.scalar(LR)
    rates = np.ones(len(curve))
    if lr is not None and len(lr.finite):
        rates = np.interp(curve.steps, lr.finite.steps, lr.finite.values)
    spent = np.cumsum(rates)
    middle = int(np.searchsorted(spent, spent[-1] / 2))
    around = max(1, len(curve) // 20)
    return float(np.median(curve.values[max(0, middle - around) : middle + around]))
