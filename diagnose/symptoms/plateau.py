"""Plateau: the training loss stands still for a large part of the run although more could be gained.

What it looks like   A shelf: the curve is level for a quarter of the run or more. A level end alone is
                     what every converged run has; a shelf is ill where the curve itself shows that it was
                     no end.
How it is told       (1) A stretch within which the loss moves by less than a tenth of what it falls after
                     it, that fall being a tenth of the whole and beyond the noise. Left while the rate
                     goes down, it was waiting for that decay: an `info`, as it is where no rate was logged
                     and the shelf is not the run's beginning, or that beginning of a run that is cut off in its fall.
                     Left with the rate unchanged: a `warning`.
                     (2) A loss that fell clearly until the rate went under a fiftieth of its peak and
                     stood still from there on, for two fifths of the run or more: a `warning`.
                     (3) A level end at an undecayed rate, with noise that a decay might remove: an `info`,
                     since no curve tells whether there is anything left.
Why it matters       The steps on the shelf are lost.
Mistaken for         `no_learning` never leaves its start; `underfitting` is level at a level known to be
                     poor; `slow_descent` falls all the time; a converged run is level at its end.
When to ignore it    Step decay by plan; losses with a known latent phase (CTC's blanks, grokking).
Causes               missing_decay, decay_too_early, lr_too_high, lr_too_low, bad_initialization, unnormalized_inputs
Sources              K03, K04 (deep-dive §2), K31 (interdependencies §11), K61 (interdependencies §3)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from diagnose import curves, progress
from diagnose.chance import skill
from diagnose.findings import Finding, Severity
from diagnose.run import Run, Series
from diagnose.schedules import rate_falls, share_of_peak, warmup_steps
from diagnose.signals import LR, TRAIN_LOSS
from diagnose.symptoms import divergence, late_instability, no_learning, oscillation, underfitting

MIN_VALUES = 40
LONG = 0.25  # of the run: a shelf shorter than that costs little
STILL = 0.1  # of the fall that follows: a straight line or an exponential is never that still for that long
LATER_FALL = 0.1  # of the whole fall: what follows a shelf and proves it
NOISE_FACTOR = 6.0  # deviations of the curve of medians
TINY_RATE = 0.02  # of the peak rate
EARLY_END = 0.6  # of the run: a rate gone by then leaves two fifths without steps worth the name
FALLING_SCORE = -3.0  # Mann–Kendall
FELL_BEFORE = 0.05  # of the whole fall, in the tenth of the run before the rate went
HIGH_RATE = 0.9  # of the peak: not decayed
GOOD = 0.9  # skill beyond which nobody asks for more
LEVEL_END = 0.01  # of the fall, over the last third
END_NOISE = 0.02  # of the fall: the noise of single steps at the end that a decay might remove


class _Shelf(NamedTuple):
    """Positions of a shelf's ends on the reduced curve, its level, and the fall after it."""

    first: int
    last: int
    level: float
    fall: float


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window the shelf."""
    loss, lr = run.scalar(TRAIN_LOSS), run.scalar(LR)
    if loss is None or len(loss.finite) < max(MIN_VALUES, len(loss)):
        return
    curve = curves.smoothed(curves.reduced(loss))
    curve = curve.between(loss.start + warmup_steps(lr), int(curve.steps[-1]))
    if len(curve) < MIN_VALUES or any(divergence.find(run)) or any(no_learning.find(run)):
        return
    fall = curves.start_level(loss) - float(curve.values.min())
    cut_off = progress.still_falls(run)
    found = _shelf_left(loss, curve, fall, lr, cut_off=cut_off) or _stopped_with_the_rate(loss, curve, fall, lr)
    told = (
        any(any(other.find(run)) for other in (late_instability, oscillation, underfitting)) or (skill(run) or 0) > GOOD
    )
    if found is None and not told:
        found = _level_end(loss, curve, fall, lr)
    if found is not None:
        yield found


def _shelf_left(loss: Series, curve: curves.Curve, fall: float, lr: Series | None, *, cut_off: bool) -> Finding | None:
    """Case 1: a shelf, and a clear fall after it."""
    shelf = _longest_shelf(curve, max(LATER_FALL * fall, NOISE_FACTOR * curves.step_noise(curve.values)))
    if shelf is None:
        return None
    first, last, end = (int(curve.steps[at]) for at in (shelf.first, shelf.last, -1))
    length = last - first
    at_start = shelf.fall > (1 - STILL) * fall
    by_rate = rate_falls(lr, first + length // 2, min(last + length // 2, end))
    # A fall that gathers speed from the start to a cut-off end looks like a shelf however healthy it is.
    sure = not by_rate and (lr is not None or at_start) and not (at_start and cut_off)
    left = "as the rate goes down" if by_rate else "with the rate unchanged" if lr is not None else "later"
    return Finding(
        id="plateau",
        severity=Severity.WARNING if sure else Severity.INFO,
        confidence=0.5 + 0.45 * curves.sigmoid(6 * (length / (end - loss.start) - LONG) + 0.5),
        window=(first, last),
        summary=(
            f"The training loss stands at {shelf.level:.3g} from step {first} to {last} "
            f"and falls by {shelf.fall:.3g} after that, {left}."
        ),
        evidence={
            "kind": "left_by_decay" if by_rate else "left",
            "level": shelf.level,
            "fall_after": shelf.fall,
            "share_of_run": length / (end - loss.start),
            "from_the_first_step": "yes" if at_start else "no",
        },
    )


def _longest_shelf(curve: curves.Curve, least_fall: float) -> _Shelf | None:
    """The longest stretch that is still, measured by what falls after it; None where none is long enough."""
    later = np.minimum.accumulate(curve.values[::-1])[::-1]
    best: _Shelf | None = None
    for last in range(len(curve) - 1, 0, -1):
        level = float(curve.values[last])
        after = level - float(later[last])
        if after < least_fall:
            continue
        moved = np.flatnonzero(np.abs(curve.values[:last] - level) > STILL * after)
        first = int(moved[-1]) + 1 if len(moved) else 0
        if best is None or curve.steps[last] - curve.steps[first] > curve.steps[best.last] - curve.steps[best.first]:
            best = _Shelf(first, last, level, after)
    whole = curve.steps[-1] - curve.steps[0]
    return best if best is not None and curve.steps[best.last] - curve.steps[best.first] >= LONG * whole else None


def _stopped_with_the_rate(loss: Series, curve: curves.Curve, fall: float, lr: Series | None) -> Finding | None:
    """Case 2: the rate went, and the fall with it, long before the run's end."""
    peak = float(lr.finite.values.max()) if lr is not None and len(lr.finite) else 0.0
    if lr is None or peak <= 0 or fall <= 0:
        return None
    high = np.flatnonzero(lr.finite.values > TINY_RATE * peak)
    gone, end = int(lr.finite.steps[high[-1]]), int(curve.steps[-1])
    length = end - int(curve.steps[0])
    if gone - int(curve.steps[0]) > EARLY_END * length:
        return None
    sound = loss.finite
    part = (sound.steps >= gone - length // 10) & (sound.steps <= gone)  # single values: so few may be left of medians
    before = curves.reduced(Series(sound.steps[part], sound.values[part], sound.wall_times[part]))
    after = curve.between(gone, end)
    if len(before) < curves.MIN_POINTS or len(after) < curves.MIN_POINTS:
        return None
    fell = -curves.slope(before) * float(before.steps[-1] - before.steps[0])
    if fell < FELL_BEFORE * fall or curves.trend_score(before) > FALLING_SCORE:
        return None
    falls_on = float(after.values[0]) - after.last_level
    if falls_on > fell:  # several times as many steps, and yet no more than before
        return None
    return Finding(
        id="plateau",
        severity=Severity.WARNING,
        confidence=0.5 + 0.45 * curves.sigmoid(2 * (fell / (FELL_BEFORE * fall) - 1)),
        window=(gone, end),
        summary=(
            f"The training loss fell by {fell:.3g} in the tenth of the run before step {gone}, where the learning "
            f"rate went under {TINY_RATE:.0%} of its peak, and stands at {after.last_level:.3g} since."
        ),
        evidence={"kind": "stopped_with_the_rate", "level": after.last_level, "fall_before": fell, "rate_gone": gone},
    )


def _level_end(loss: Series, curve: curves.Curve, fall: float, lr: Series | None) -> Finding | None:
    """Case 3: level at an undecayed rate, noisy: it cannot be told."""
    rate = share_of_peak(lr, int(curve.steps[-1]))
    third = curve.values[-(len(curve) // 3) :]
    late = curves.Curve(curve.steps[-len(third) :], third)
    moved = abs(curves.slope(late)) * float(late.steps[-1] - late.steps[0])
    noise = curves.step_noise(loss.finite.values[-(len(loss) // 3) :])
    if rate is None or rate < HIGH_RATE or fall <= 0 or moved > LEVEL_END * fall or noise < END_NOISE * fall:
        return None
    first = int(late.steps[0])
    return Finding(
        id="plateau",
        severity=Severity.INFO,
        confidence=0.5,
        window=(first, int(late.steps[-1])),
        summary=(
            f"The training loss is level at {float(np.median(third)):.3g} from step {first} on, at an undecayed rate: "
            "converged, or waiting for a lower rate; the curve cannot tell."
        ),
        evidence={"kind": "level_end", "level": float(np.median(third)), "noise": noise},
    )
