"""Oscillation: the training loss swings up and down by far more than its noise.

What it looks like   Hills and valleys, one after the other: what was gained in one stretch is lost in the
                     next. At the extreme the loss alternates with every step, or jumps about.
How it is told       Three ways, 1. and 2. where the loss does not diverge:
                     1. The curve's turning points. A swing is a rise, and a fall after it, of at least a
                     tenth of the run's whole fall, and higher than noise without order brings a curve of
                     so many medians. Three swings or more, but not those during which the learning rate
                     rises: they are the schedule's (warm restarts, cycles).
                     2. Jumps from value to value that do not shrink: at a rate that does not come down
                     either, with steps ten times the usual size (three times, below eight samples a step),
                     most of each step's squared gradient noise (steps of a hundred times the usual size
                     need none), and a loss that stands or jumps ever farther. The noise then drives the
                     weights about, and only its size decides the level. Needs the update ratio and the
                     learning rate.
                     3. The loss of a step goes with that of the same step one epoch later (rank correlation
                     of half or more, and five standard errors), over a range of a tenth of the fall.
                     All are a `warning`; regular teeth that rise at once and fall for the rest of their
                     period are an `info` where no rate was logged: warm restarts look like that.
Why it matters       The steps are spent on climbing out of valleys and falling into the next.
Mistaken for         `loss_spikes` are needles on a level curve; `divergence` and `late_instability` end
                     above what was reached; a noisy small batch at a fitting rate has no swings that last,
                     and small steps.
When to ignore it    Losses of two networks that work against each other (GANs) swing by nature; so do
                     sums whose parts are switched on and off.
Causes               lr_too_high, batch_too_small, unshuffled_data (swings as long as an epoch)
Sources              K01 (deep-dive §2), K06 (interdependencies §1), K20 (stability-scaling §2); noise scale:
                     McCandlish et al. 2018; update ratio: Karpathy, CS231n notes
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import inf

import numpy as np

from diagnose import batch, curves, epochs, facts
from diagnose.findings import Finding, Severity
from diagnose.run import Run, Series, Values
from diagnose.schedules import rate_falls, rate_rises
from diagnose.signals import LR, TRAIN_LOSS
from diagnose.symptoms import divergence

RESOLUTIONS = (50, 200, 2000)  # points: few show long swings out of much noise, many show short ones
SHARE_OF_FALL = 0.1  # of the run's fall, each swing at the least
MEDIAN_NOISE = 1.2533  # √(π/2): standard error of a median against that of a mean, for a normal law
MIN_VALUES = 40
PARTS = 8  # of the run, each with a noise of its own
SWINGS = 3
PROGRESS = 4.0  # deviations of the slow noise: a sound run falls further
TOGETHER = 1.5  # between white noise's 1 and a running mean's 2
IN_PROPORTION = 2.8  # between a running mean's 2 and a wave's 4
MIN_SPAN = 0.2  # of the run, from the first swing to the last
NEEDLE = 0.6  # of a swing's points in its lowest quarter (a sine has a third): needles are `loss_spikes`
MIDDLE = 0.7  # of a swing's points in the middle half of its height (a sine has a third, a triangle a half)
REGULAR = 0.1  # coefficient of variation of the periods
AT_ONCE = 0.3  # of a period, from its lowest point to its highest
TAIL = 0.95  # quantile of the differences that noise is also judged by
TAIL_NORMAL = 1.96 * 2**0.5  # that quantile of |difference|, for normal noise of deviation 1
JUMP = 0.05  # of the fall, the mean jump: for normal noise a deviation of 0.044, a range (±2 of them) of a sixth
GROWN = 1.5  # times as far: the jumps grow, whatever the level does
TREND = -3.0  # Mann–Kendall score of a loss that falls for sure
USUAL_RATIO = 1e-3  # of a step's length to the weights' (Karpathy)
LARGE_STEPS, LARGE_FOR_FEW = 10.0, 3.0  # times the usual; with a batch of a few samples less is much
FEW = 8  # samples a step: a quarter of K13's smallest usual start
VIOLENT = 100.0  # times the usual: a tenth of the weights' length in a step is too far for any valley, noise or not
MOSTLY_NOISE = 2.0  # batches, the noise scale: E‖g‖² = ‖G‖²(1 + B_simple/B), two thirds are noise then


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first swing to the last."""
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or len(loss.finite) < MIN_VALUES:
        return
    fall = curves.start_level(loss) - float(curves.smoothed(curves.reduced(loss)).values.min())
    found = None
    if not any(divergence.find(run)):
        found = _by_turning_points(run, loss, fall) or _by_jumps(run, loss, fall)
    found = found or _by_the_epoch(run, loss, fall)  # whatever the level does
    if found is not None:
        yield found


def _by_turning_points(run: Run, loss: Series, fall: float) -> Finding | None:
    # Noise may grow within a run: what is judged is the loudest part's.
    noise = max(_noise(part) for part in np.array_split(loss.finite.values, PARTS))
    slow = curves.noise(loss.finite.values)
    # Of a running mean noise is seen at longer lags alone, and neighbours do not average it out. Data in a fixed order
    # look like one too: but such a loss gets nowhere beside its swings.
    smoothed = _was_smoothed(loss.finite.values) and fall > PROGRESS * slow and not epochs.has_an_order(run)
    if smoothed:
        noise = max(noise, slow)
    for points in RESOLUTIONS:
        curve = curves.reduced(loss, points)
        per_point = max(1, len(loss.finite) // len(curve))
        of_medians = noise * (MEDIAN_NOISE / per_point**0.5 if per_point > 1 and not smoothed else 1.0)
        finding = _found(run, curve, max(_reach(len(curve)) * of_medians, SHARE_OF_FALL * fall), fall)
        if finding is not None or per_point == 1:
            return finding
    return None


def _was_smoothed(values: Values) -> bool:
    """Whether neighbours go together as in a running mean: differences grow with the lag as a random walk's do.

    With variances D of differences at lags 1, 2 and 4: white noise has D₂ = D₁; a running mean, exponential or over a
    window, has D₂ = 2 D₁ and goes on in proportion, D₄ − D₂ = 2 (D₂ − D₁) at the most; a wave, noisy or not, grows with
    the square of the lag, D₄ − D₂ = 4 (D₂ − D₁).
    """
    if len(values) < curves.MIN_POINTS:
        return False
    deviations = [curves.mad(values[lag:] - values[:-lag]) for lag in (1, 2, 4)]
    largest = max(deviations)
    if not 0 < largest < inf:
        return False
    one, two, four = ((deviation / largest) ** 2 for deviation in deviations)  # squares of the largest numbers are none
    return bool(one > 0 and two >= TOGETHER * one and four - two <= IN_PROPORTION * (two - one))


def _noise(values: Values) -> float:
    """The deviation of noise without order, heavy tails included: medians of two or three values keep them.

    As in `curves.step_noise`, the smaller of lags 1 and 2.
    """
    lags = [np.abs(values[lag:] - values[:-lag]) for lag in (1, 2) if len(values) > lag + 1]
    of_tails = min((float(np.quantile(apart, TAIL)) / TAIL_NORMAL for apart in lags), default=0.0)
    return max(of_tails, curves.step_noise(values))


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
    if _are_needles(curve.values, own) or _are_outliers(curve.values, own):
        return None
    heights = [float(curve.values[high] - curve.values[low]) for low, high in own]
    period = float(np.median(np.diff(steps[[high for _, high in own]])))
    spread = float(np.std(np.diff(steps[[high for _, high in own]])))
    height = float(np.median(heights))
    restarts = lr is None and spread < REGULAR * period and _are_sawteeth(own) and not epochs.repeats(run)
    return Finding(
        id="oscillation",
        severity=Severity.INFO if restarts else Severity.WARNING,
        confidence=0.5 + 0.45 * curves.sigmoid(2 * (height / least - 1.5) + (len(own) - 2 * SWINGS) / SWINGS),
        window=(int(steps[first]), int(steps[last])),
        summary=(
            f"The training loss swings up and down {len(own)} times, by {height:.3g} each time"
            + (f", {height / fall:.0%} of all that the run has gained." if fall > 0 else ".")
            + (" Such teeth are those of a schedule with warm restarts: log the rate to be sure." if restarts else "")
        ),
        evidence={
            "swings": len(own),
            "height": height,
            "period": period,
            "period_is_an_epoch": "yes" if epochs.repeats(run) else "no",
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


def _are_outliers(values: Values, swings: list[tuple[int, int]]) -> bool:
    """Whether the curve is near the middle most of the time, and lows and highs are single values of its noise."""
    shares = [
        float(np.mean(np.abs(values[low:then] - (values[low] + values[high]) / 2) < (values[high] - values[low]) / 4))
        for (low, high), (then, _) in pairwise(swings)
    ]
    return bool(shares) and float(np.median(shares)) > MIDDLE


def _are_sawteeth(swings: list[tuple[int, int]]) -> bool:
    """Whether each swing rises at once and falls over the rest of its period, as under warm restarts."""
    shares = [(high - low) / (then - low) for (low, high), (then, _) in pairwise(swings)]
    return max(shares, default=1.0) < AT_ONCE


def _by_the_epoch(run: Run, loss: Series, fall: float) -> Finding | None:
    epoch = epochs.length(run, loss)
    if epoch is None or not epochs.repeats(run):
        return None
    span = float(np.subtract(*np.quantile(epochs.beside_trend(loss), (0.9, 0.1))))
    if span <= SHARE_OF_FALL * fall:
        return None
    steps = loss.finite.steps
    if rate_rises(run.scalar(LR), int(steps[int(epoch)]), int(steps[-1])):  # the schedule may have the same period
        return None
    period = epoch * float(np.median(np.diff(steps)))
    return Finding(
        id="oscillation",
        severity=Severity.WARNING,
        confidence=0.9,
        window=(int(steps[0]), int(steps[-1])),
        summary=f"The training loss goes up and down by {span:.3g} in the same way in every epoch, {period:.0f} steps.",
        evidence={"height": span, "period": period, "period_is_an_epoch": "yes", "regular": "yes"},
    )


def _by_jumps(run: Run, loss: Series, fall: float) -> Finding | None:
    jumps, ratio = batch.jumps(run), batch.late_update_ratio(run)
    size, noise, lr = facts.effective_batch_size(run.setup), batch.noise_over_batch(run), run.scalar(LR)
    if jumps is None or ratio is None or lr is None or not jumps.last or jumps.size < JUMP * fall:
        return None
    if ratio < VIOLENT * USUAL_RATIO:
        if size is None or noise is None or noise < MOSTLY_NOISE:
            return None
        if ratio < USUAL_RATIO * (LARGE_FOR_FEW if size < FEW else LARGE_STEPS):
            return None
    curve = curves.reduced(loss)
    half = curve.between(int(curve.steps[len(curve) // 2]), int(curve.steps[-1]))
    first, last = int(half.steps[0]), int(half.steps[-1])
    if rate_falls(lr, lr.start, last) or (curves.trend_score(half) < TREND and jumps.growth < GROWN):
        return None
    past = ratio / (LARGE_FOR_FEW * USUAL_RATIO) * jumps.growth / batch.SHRUNK
    return Finding(
        id="oscillation",
        severity=Severity.WARNING,
        confidence=0.5 + 0.4 * curves.sigmoid(np.log(past)),
        window=(first, last),
        summary=(
            f"The training loss jumps by {jumps.size:.3g} from step to step and does not calm down"
            + (f": by {jumps.size / fall:.0%} of all that the run has gained." if fall > 0 else ".")
        ),
        evidence={
            "height": jumps.size,
            "growth": jumps.growth,
            "update_ratio": ratio,
            **({"noise_scale_over_batch": noise} if noise is not None else {}),
            "few_samples_a_step": "yes" if size is not None and size < FEW else "no",
            "period_is_an_epoch": "no",
            "regular": "no",
        },
    )
