"""Oscillation: the training loss swings up and down by far more than its noise.

What it looks like   Hills and valleys, one after the other: what was gained in one stretch is lost in the
                     next. At the extreme the loss alternates with every step.
How it is told       The curve's turning points. A swing is a rise, and a fall after it, of at least a
                     tenth of the run's whole fall, and higher than noise without order brings a curve of
                     so many medians. Three swings or more are a `warning`; those during which the
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
from itertools import pairwise

import numpy as np

from diagnose import curves
from diagnose.findings import Finding, Severity
from diagnose.run import Run, Values
from diagnose.schedules import rate_rises
from diagnose.signals import LR, TRAIN_LOSS
from diagnose.symptoms import divergence

RESOLUTIONS = (50, 200, 2000)  # points: few show long swings out of much noise, many show short ones
SHARE_OF_FALL = 0.1  # of the run's fall, each swing at the least
MEDIAN_NOISE = 1.2533  # √(π/2): standard error of a median against that of a mean, for a normal law
MIN_VALUES = 40
PARTS = 8  # of the run, each with a noise of its own
SWINGS = 3
MIN_SPAN = 0.2  # of the run, from the first swing to the last
NEEDLE = 0.6  # of a swing's points in its lowest quarter (a sine has a third): needles are `loss_spikes`
REGULAR = 0.1  # coefficient of variation of the periods
SAME = 0.5  # rank correlation from epoch to epoch; shuffled data have 0 ± 1/√n
SHORTEST_EPOCH = 4  # values
LONGEST_LOOK = 100_000  # values, the last ones


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first swing to the last."""
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or len(loss.finite) < MIN_VALUES or any(divergence.find(run)):
        return
    fall = curves.start_level(loss) - curves.smoothed(curves.reduced(loss)).values.min()
    # Noise may grow within a run: what is judged is the loudest part's.
    noise = max(curves.step_noise(part) for part in np.array_split(loss.finite.values, PARTS))
    for points in RESOLUTIONS:
        curve = curves.reduced(loss, points)
        per_point = max(1, len(loss.finite) // len(curve))
        of_medians = noise * (MEDIAN_NOISE / per_point**0.5 if per_point > 1 else 1.0)
        finding = _found(run, curve, max(_reach(len(curve)) * of_medians, SHARE_OF_FALL * fall), fall)
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
    if steps[last] - steps[first] < MIN_SPAN * (steps[-1] - steps[0]):
        return None
    if _are_needles(curve.values, own):
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
            "period_is_an_epoch": "yes" if _repeats_with_the_epoch(run) else "no",
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


def _reach(points: int) -> float:
    """How many deviations apart noise alone brings highs and lows, fewer than `SWINGS` times in so many points.

    Of n normal values n/SWINGS-th parts lie beyond √(2 ln(n / SWINGS)), on either side.
    """
    return 2 * float(np.sqrt(2 * np.log(max(points / SWINGS, 2.0))))


def _are_needles(values: Values, swings: list[tuple[int, int]]) -> bool:
    """Whether the curve is at its low level most of the time between one low and the next."""
    shares = [
        float(np.mean(values[low:then] < values[low] + (values[high] - values[low]) / 4))
        for (low, high), (then, _) in pairwise(swings)
    ]
    return bool(shares) and float(np.median(shares)) > NEEDLE


def _repeats_with_the_epoch(run: Run) -> bool:
    """Whether the loss of a step goes with that of the same step of the next epoch, where the epoch's length is known.

    Rank correlation (Spearman) of what is left beside the trend, at the distance of one epoch.
    """
    batch, samples = run.setup.config_number("batch_size"), run.setup.config_number("dataset_size")
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or not batch or not samples or batch <= 0 or samples < batch:
        return False
    sound = loss.finite
    every = float(np.median(np.diff(sound.steps)))
    epoch = -(-samples // batch) / every
    if not SHORTEST_EPOCH <= epoch <= len(sound) / 3:
        return False
    beside = sound.values - curves.level_at(curves.smoothed(curves.reduced(loss, 50), 9), sound.steps)
    beside = beside[-LONGEST_LOOK:]
    return max(_rank_correlation(beside, lag) for lag in {int(epoch), int(-(-epoch // 1))}) > SAME


def _rank_correlation(values: Values, lag: int) -> float:
    ranks = np.argsort(np.argsort(values)).astype(np.float64)
    if len(ranks) < lag + 3:
        return 0.0
    return float(np.corrcoef(ranks[lag:], ranks[:-lag])[0, 1])
