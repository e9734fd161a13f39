"""Oscillation: the training loss swings up and down by far more than its noise.

What it looks like   Hills and valleys, one after the other: what was gained in one stretch is lost in the
                     next. At the extreme the loss alternates with every step.
How it is told       The curve's turning points. A swing is a rise, and a fall after it, of at least a
                     fifth of the run's whole fall and of six deviations of what noise without order does
                     to a curve of medians. Five swings or more are a `warning`; those during which the
                     learning rate rises are the schedule's (warm restarts, cycles) and do not count.
Why it matters       The steps are spent on climbing out of valleys and falling into the next.
Mistaken for         `loss_spikes` are needles on a level curve; `divergence` and `late_instability` end
                     above what was reached; a noisy small batch has no swings that last.
When to ignore it    Losses of two networks that work against each other (GANs) swing by nature; so do
                     sums whose parts are switched on and off.
Causes               lr_too_high, batch_too_small, unshuffled_data (swings as long as an epoch)
Sources              K01 (deep-dive §2), K06 (interdependencies §1), K20 (stability-scaling §2)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves
from diagnose.findings import Finding, Severity
from diagnose.run import Run, Values
from diagnose.schedules import rate_rises
from diagnose.signals import LR, TRAIN_LOSS

RESOLUTIONS = (200, 2000)  # points: swings that are short beside the run are lost in two hundred medians
SHARE_OF_FALL = 0.2  # of the run's fall, each swing at the least
NOISE_FACTOR = 6.0  # deviations: white noise of 2,000 points makes one such swing in a thousand runs
MEDIAN_NOISE = 1.2533  # √(π/2): standard error of a median against that of a mean, for a normal law
SWINGS = 5
MIN_SPAN = 0.2  # of the run, from the first swing to the last
MOST_AT_LEVEL = 0.8  # of the values near the lower end: then the swings are needles (`loss_spikes`)
REGULAR = 0.1  # coefficient of variation of the periods
LIKE_AN_EPOCH = 0.05  # relative difference of the period from an epoch's steps


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first swing to the last."""
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or len(loss.finite) < 4 * SWINGS:
        return
    fall = curves.start_level(loss) - curves.smoothed(curves.reduced(loss)).values.min()
    for points in RESOLUTIONS:
        curve = curves.reduced(loss, points)
        per_point = max(1, len(loss.finite) // len(curve))
        noise = MEDIAN_NOISE * curves.step_noise(loss.finite.values) / per_point**0.5 if per_point > 1 else 0.0
        noise = noise or curves.step_noise(loss.finite.values)
        finding = _found(run, curve, max(NOISE_FACTOR * noise, SHARE_OF_FALL * fall), fall)
        if finding is not None:
            yield finding
            return
        if per_point == 1:
            return


def _found(run: Run, curve: curves.Curve, least: float, fall: float) -> Finding | None:
    lr = run.scalar(LR)
    every = _swings(curve.values, least)
    own = [(low, high) for low, high in every if not rate_rises(lr, *(int(s) for s in curve.steps[[low, high]]))]
    if len(own) < SWINGS or 2 * len(own) < len(every):
        return None
    first, last = own[0][0], own[-1][1]
    steps = curve.steps
    inside = curve.values[first : last + 1]
    if steps[last] - steps[first] < MIN_SPAN * (steps[-1] - steps[0]):
        return None
    if np.mean(inside < inside.min() + least / 2) > MOST_AT_LEVEL:
        return None
    heights = [float(curve.values[high] - curve.values[low]) for low, high in own]
    period = float(np.median(np.diff(steps[[high for _, high in own]])))
    spread = float(np.std(np.diff(steps[[high for _, high in own]])))
    height = float(np.median(heights))
    return Finding(
        id="oscillation",
        severity=Severity.WARNING,
        confidence=0.5 + 0.45 * curves.sigmoid(2 * (height / least - 1.5) + (len(own) - 2 * SWINGS) / SWINGS),
        window=(int(steps[first]), int(steps[last])),
        summary=(
            f"The training loss swings up and down {len(own)} times, by {height:.3g} each time"
            + (f", {height / fall:.0%} of all that the run has gained." if fall > 0 else ".")
        ),
        evidence={
            "swings": len(own),
            "height": height,
            "period": period,
            "period_is_an_epoch": "yes" if _is_an_epoch(run, period) else "no",
            "regular": "yes" if spread < REGULAR * period else "no",
        },
    )


def _swings(values: Values, least: float) -> list[tuple[int, int]]:
    """Rises of at least `least` that are lost again: positions of their lowest and highest point."""
    found: list[tuple[int, int]] = []
    if least <= 0:
        return found
    low = high = 0
    rising = False
    for at, value in enumerate(values.tolist()):
        if rising:
            if value > values[high]:
                high = at
            elif values[high] - value >= least:
                found.append((low, high))
                rising, low = False, at
        elif value < values[low]:
            low = at
        elif value - values[low] >= least:
            rising, high = True, at
    return found


def _is_an_epoch(run: Run, period: float) -> bool:
    batch, samples = run.setup.config_number("batch_size"), run.setup.config_number("dataset_size")
    if not batch or not samples or batch <= 0 or samples <= 0:
        return False
    epoch = samples / batch
    return abs(period - epoch) < max(LIKE_AN_EPOCH * epoch, 1.0)
