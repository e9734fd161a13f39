"""Slow descent: the loss falls steadily but so slowly that the run ends long before it is done.

What it looks like   A nearly straight slope from the first step to the last: no knee, no plateau.
How it is told       The last third of the run contributes about as much as the first, the trend there
                     is beyond doubt (Mann–Kendall), and at its slope the loss still left would take
                     longer than the whole run. Healthy curves do most of their fall early.
Why it matters       The budget goes into steps that are too small.
Mistaken for         `undertrained` falls fast but is cut off; `plateau` and `no_learning` do not fall.
When to ignore it    A schedule that is still warming up; fine-tuning at a low rate on purpose.
Causes               lr_too_low, too_few_epochs
Sources              K02 (deep-dive §2), K06 (interdependencies §1)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves
from diagnose.findings import Finding, Severity
from diagnose.run import Run
from diagnose.schedules import warmup_steps
from diagnose.signals import LR, TRAIN_LOSS

FALLING_SCORE = -3.0  # Mann–Kendall: one chance in a thousand without a trend
LATE_SHARE = (
    0.22  # of the whole fall in the last third: a straight line has 0.33, an exponential over 3 time constants 0.09
)
LEFT_TO_FALL = 0.5  # of the first loss still there: a run that has halved its loss is not crawling
FIRST_VALUES = 3
NOISE_FACTOR = 3.0  # standard deviations of the first level
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
    third = len(curve) // 3
    late = curve.between(int(curve.steps[-third]), int(curve.steps[-1]))
    fall = first - last
    if fall <= NOISE_FACTOR * curves.noise(loss.finite.values) / FIRST_VALUES**0.5:
        return
    if first <= 0 or last < LEFT_TO_FALL * first or curves.trend_score(late) > FALLING_SCORE:
        return
    speed = -curves.slope(late)
    if speed <= 0:  # a staircase: most pairs of values are equal, whatever the trend
        return
    late_share = speed * float(late.steps[-1] - late.steps[0]) / fall
    remaining = last / speed
    length = int(curve.steps[-1] - curve.steps[0])
    if late_share < LATE_SHARE or remaining < length:
        return
    yield Finding(
        id="slow_descent",
        severity=Severity.WARNING,
        confidence=0.5 + 0.45 * curves.sigmoid(20 * (late_share - LATE_SHARE - 0.03)),
        window=(int(curve.steps[0]), int(curve.steps[-1])),
        summary=(
            f"The training loss falls in a nearly straight line from {first:.3g} to {last:.3g}; "
            f"at its last slope the rest would take {remaining:,.0f} more steps."
        ),
        evidence={
            "loss_first": first,
            "loss_last": last,
            "share_of_fall_in_last_third": late_share,
            "steps_to_go_at_this_slope": remaining,
        },
    )
