"""Loss spikes: the training loss leaps far above its level and comes back, again and again.

What it looks like   Needles on the curve: a leap within a few steps, a return within a few more, and the
                     fall goes on as if nothing had happened.
How it is told       The height of each value above the running median, in units of the noise around it.
                     The run is cut into blocks, and the highest value of each block says how high noise
                     alone reaches, heavy tails included; a spike stands far outside of that law and is at
                     least a tenth of the run's fall. Where they are many, blocks with one are no exception and
                     the law is not to be had: leaps of eight deviations count too where four or more of them
                     keep equal distances, as chance does not. Three or more are a `warning`, fewer an `info`
                     in a run that learns and a `warning` in one that ends no lower than it began.
                     Leaps come out of a calm where two or more of them are very high and the loss just before
                     each was as usual: a step too long is seen in the loss for some steps before it throws it.
                     Leaps that follow a rise of the learning rate are the schedule's; where needles of that
                     height point downwards a quarter as often, they are the log's (means that begin anew).
Why it matters       Each spike costs the steps of its recovery, and the next may not recover.
Mistaken for         `divergence` does not come back; `oscillation` is above its own best most of the
                     time; a `late_instability` stays from its onset on.
When to ignore it    A single spike that recovered; a rare class or a long sequence alone in its batch.
Causes               lr_too_high, missing_clipping, bad_data, missing_warmup
Sources              K01 (deep-dive §2), K62 (deep-dive §5); block maxima: Gumbel (1958)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diagnose import curves
from diagnose.findings import Finding, Severity
from diagnose.progress import NOISE_FACTOR, fall
from diagnose.run import Run, Series, Values
from diagnose.schedules import rate_rises
from diagnose.signals import LR, TRAIN_LOSS

MIN_VALUES = 100  # fewer hold too few blocks to know the noise's law
BLOCKS = 100
BLOCK_VALUES = 10  # at the least
OUTLIER = 5.0  # deviations of the logarithms of the blocks' maxima; for a power law's (Gumbel): 1 of 1,000 blocks
LEAST_HEIGHT = 8.0  # deviations of the noise, where the blocks' maxima are all alike
SHARE_OF_FALL = 0.1  # of the run's fall: lower spikes undo nothing
LONGEST = 0.05  # of the run: what lasts longer is a level, not a spike
BACK = 0.25  # of the height, that may be left of it after the last high value
GAP = 0.01  # of the run: leaps closer than this are one
SEVERAL = 3
FEWEST_BELOW = 2  # needles: a single low value may be an empty batch
BELOW = 4  # times as many needles upwards as downwards: what a training does to its loss, no log has mirrored
BASE_WIDTH = 15  # points of the reduced curve: a median over a width that no spike fills
MISSING = 1.5  # distances at the most, for each that is seen
EVERY = 2  # steps from one value to the next, at the most, where they tell what led to a leap
CALM = 20  # values before a leap that say what is usual there
CALM_LEAP = 30.0  # deviations of the noise: what leaps so far leaves no doubt about where it began
HERALD = 2.5  # deviations of the noise: the last value before a leap, above the usual
REGULAR = 0.1  # coefficient of variation of the distances: spikes as regular as that come from the order of the data


class _Spike(NamedTuple):
    """One leap: positions of its first, highest and last value, and its height above the level."""

    first: int
    top: int
    last: int
    height: float


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first spike's first to the last one's last value."""
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or len(loss.finite) < MIN_VALUES:
        return
    sound = loss.finite
    base = curves.level_at(curves.smoothed(curves.reduced(loss), BASE_WIDTH), sound.steps)
    above = sound.values - base
    noise, limit = _law_of_noise(above)
    gained = curves.start_level(loss) - float(base.min())
    tall = (above > SHARE_OF_FALL * gained) & (above > 1e-6 * np.abs(base))
    spikes = _of_training(run, sound, _spikes(tall & (above > limit * noise), above, sound.values))
    lower = _of_training(run, sound, _spikes(tall & (above > LEAST_HEIGHT * noise), above, sound.values))
    if len(lower) > max(SEVERAL, len(spikes)) and _regular(sound.steps[[spike.top for spike in lower]]):
        spikes, limit = lower, LEAST_HEIGHT
    if spikes and not _as_often_below(sound, above, gained, limit * noise, len(spikes)):
        found = _finding(sound, base, spikes, noise, limit)
        ill = len(spikes) >= SEVERAL or fall(run) < NOISE_FACTOR
        yield replace(found, severity=Severity.WARNING) if ill else found


def _as_often_below(sound: Series, above: Values, gained: float, least: Values, spikes: int) -> bool:
    """Whether needles of that height point downwards too, as where a running mean begins anew with every epoch."""
    deep = (-above > SHARE_OF_FALL * gained) & (-above > least)
    downwards = len(list(_spikes(deep, -above, -sound.values)))
    return downwards >= FEWEST_BELOW and BELOW * downwards >= spikes


def _of_training(run: Run, sound: Series, spikes: Iterator[_Spike]) -> list[_Spike]:
    """Those that do not follow a rise of the learning rate."""
    lr = run.scalar(LR)
    reach = int(GAP * (sound.steps[-1] - sound.steps[0]))
    return [
        spike
        for spike in spikes
        if not rate_rises(lr, int(sound.steps[spike.first]) - reach, int(sound.steps[spike.top]))
    ]


def _finding(sound: Series, base: Values, spikes: list[_Spike], noise: Values, limit: float) -> Finding:
    heights = [spike.height for spike in spikes]
    tallest = spikes[int(np.argmax(heights))]
    in_noise = float(np.median([s.height / max(limit * noise[s.top], 1e-300) for s in spikes]))
    what = f"{len(spikes)} times" if len(spikes) > 1 else "once"
    return Finding(
        id="loss_spikes",
        severity=Severity.INFO,
        confidence=0.5 + 0.45 * curves.sigmoid(2 * (in_noise - 1.5) + len(spikes) - SEVERAL),
        window=(int(sound.steps[max(spikes[0].first - 1, 0)]), int(sound.steps[spikes[-1].last])),
        summary=(
            f"The training loss leaps {what} far above its level and comes back, "
            f"to {sound.values[tallest.top]:.3g} from {base[tallest.top]:.3g} at step {sound.steps[tallest.top]}."
        ),
        evidence={
            "spikes": len(spikes),
            "highest_loss": float(sound.values[tallest.top]),
            "level_there": float(base[tallest.top]),
            "step_of_highest": int(sound.steps[tallest.top]),
            "regular": "yes" if _regular(sound.steps[[s.top for s in spikes]]) else "no",
            "out_of_calm": _out_of_calm(sound, spikes, noise),
        },
    )


def _law_of_noise(above: Values) -> tuple[Values, float]:
    """The noise around each value (its standard deviation), and how many of it a value must reach to be no noise."""
    block = max(BLOCK_VALUES, -(-len(above) // BLOCKS))
    blocks = [above[begin : begin + block] for begin in range(0, len(above) - block // 2, block)]
    each = np.array([curves.mad(values) for values in blocks])
    count = np.arange(len(each), dtype=np.int64)
    smooth = curves.smoothed(curves.Curve(count, each), 9).values
    smooth = np.maximum(smooth, 0.1 * float(np.median(each)))  # a stretch without any noise is no measure
    highest = np.array([values.max() for values in blocks]) / np.maximum(smooth, 1e-300)
    logs = np.log(np.clip(highest, 1.0, 1e12))
    limit = float(np.exp(min(np.median(logs) + OUTLIER * curves.mad(logs), 50.0)))
    return np.interp(np.arange(len(above)), block * (count + 0.5), smooth), max(limit, LEAST_HEIGHT)


def _spikes(high: NDArray[np.bool_], above: Values, values: Values) -> Iterator[_Spike]:
    """Runs of high values, near ones joined; not what the run begins or ends with, nor what lasts."""
    at = np.flatnonzero(high)
    gap = max(2, int(GAP * len(high)))
    for part in np.split(at, np.flatnonzero(np.diff(at) > gap) + 1):
        if len(part) == 0 or part[0] == 0 or part[-1] >= len(high) - gap:
            continue
        top = int(part[np.argmax(above[part])])
        before = values[max(0, part[0] - 2 * gap) : part[0]]
        after = values[part[-1] + 1 : part[-1] + 1 + 2 * gap]
        recovered = np.median(after) < np.median(before) + BACK * above[top]
        if recovered and part[-1] - part[0] <= LONGEST * len(high):
            yield _Spike(int(part[0]), top, int(part[-1]), float(above[top]))


def _out_of_calm(sound: Series, spikes: list[_Spike], noise: Values) -> str:
    """Whether two or more leaps, and none otherwise, began with a usual loss and were far out of the noise at once.

    `unknown` where the last value before a leap lies several steps back: what led to it was not logged.
    """
    values = sound.values

    def at_once(spike: _Spike) -> bool:
        usual = np.median(values[spike.first - CALM : spike.first])
        last, first = values[spike.first - 1 : spike.first + 1] - usual
        return bool(last <= HERALD * noise[spike.first] and first > CALM_LEAP * noise[spike.first])

    if np.median(np.diff(sound.steps)) > EVERY:
        return "unknown"
    high = [spike for spike in spikes if spike.first >= CALM and spike.height > CALM_LEAP * noise[spike.top]]
    return "yes" if len(high) > 1 and all(map(at_once, high)) else "no"


def _regular(steps: NDArray[np.int64]) -> bool:
    """Whether the steps follow each other at nearly the same distance, or a few times it where one is missing."""
    apart = np.diff(steps)
    if len(apart) < SEVERAL:
        return False
    usual = float(np.median(apart))
    times = np.maximum(np.round(apart / usual), 1)
    return bool(times.mean() < MISSING) and float((apart / times).std()) < REGULAR * usual
