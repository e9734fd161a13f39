"""Undertrained: the loss is still falling clearly when the run ends.

What it looks like   A curve that bends as it should and is cut off before it has levelled.
How it is told       The last quarter falls beyond doubt (Mann–Kendall). Its slope against that of the
                     quarter before says how fast the fall fades; if it fades on like that, so much is
                     left. A quarter of the fall so far is much: a `warning`, unless the learning rate had
                     already gone down to a tenth of its peak, or was not logged: then the end was
                     planned, or may have been, and it is an `info`, as it is with less left to gain.
                     A validation loss that no longer falls rules it out. Where single batches are too noisy
                     to tell, a validation loss that goes down at each evaluation of the last half does, if the
                     training loss falls over the whole run and nothing swings. Cut off it is also where it ended,
                     still falling by either loss, before it had seen each sample of a small data set once. A log that
                     has not come to its end, ours by what it says, another's by the length that the config plans,
                     is an `info` at most.
Why it matters       The same set-up gives a better model for the price of more steps.
Mistaken for         `slow_descent` falls in a straight line from the start: its steps are too small, not
                     too few; `plateau` and `underfitting` have stopped falling.
When to ignore it    A run that is still going on, or was stopped on purpose; one pass over data without end.
Causes               too_few_epochs, lr_too_low
Sources              K41 (deep-dive §4), K49 (deep-dive §4, §7)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from diagnose import curves, facts
from diagnose.findings import Finding, Severity
from diagnose.logs.layout import OWN_TAGS
from diagnose.prescriptions.settings import from_config
from diagnose.run import Run, Series
from diagnose.schedules import share_of_peak
from diagnose.signals import LR, TRAIN_LOSS, VALIDATION_LOSS
from diagnose.symptoms import oscillation, slow_descent

MIN_VALUES = 40
QUARTER = 4
FALLING_SCORE = -3.0  # Mann–Kendall: one chance in a thousand without a trend
VALIDATION_SCORE = -2.0  # fewer values, and a second witness only
FEWEST = 4  # evaluations in a half of the run
MUCH_LEFT = 0.25  # of the fall so far: an exponential cut off after 1.6 of its time constants
LATE_HALF = 0.3  # of the validation loss's fall: what that same exponential has in its second half
LEAST = 0.01  # of the first validation loss: a fall of less is not worth more steps
SOME_LEFT = 0.1  # after 2.4 of them
SLOWEST_FADE = 0.75  # of the slope, from quarter to quarter: three times the last quarter's fall at most
ANNEALED = 0.1  # of the peak rate: the schedule has ended, and so did the plan
REACHED = 0.95  # of the planned steps: the last few may not have been logged, a last batch may be dropped
NOISE_FACTOR = 4.0  # deviations of the noise of medians


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window the last quarter."""
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or len(loss.finite) < MIN_VALUES or len(loss.finite) < len(loss):
        return
    curve = curves.reduced(loss)
    annealed = share_of_peak(run.scalar(LR), int(curve.steps[-1]))
    cut_off = annealed is not None and annealed > ANNEALED and not _did_not_end(run)
    found = _still_falling(run, loss, curve, cut_off=cut_off)
    if cut_off and (found is None or found.severity is Severity.INFO):
        found = _unseen(run, curve) or found
    if found is not None:
        at_end = {"rate_at_end_of_peak": annealed} if annealed is not None else {}
        yield replace(found, evidence={**found.evidence, **at_end})


def _still_falling(run: Run, loss: Series, curve: curves.Curve, *, cut_off: bool) -> Finding | None:
    """The finding where a clear fall fades so slowly that there is something left of it."""
    fall, speed, left = _what_is_left(curve, curves.start_level(loss))
    if fall <= 0:  # where single batches are too noisy, the validation data, the same each time, may tell
        fall, speed, left = _left_by_validation(run, curve)
    if fall <= 0 or left < SOME_LEFT * fall or _crawls(run) or not _validation_falls(run, curve):
        return None
    much = left >= MUCH_LEFT * fall
    return Finding(
        id="undertrained",
        severity=Severity.WARNING if much and cut_off else Severity.INFO,
        confidence=0.5 + 0.4 * curves.sigmoid(3 * (left / fall / MUCH_LEFT - 1.2)),
        window=_last_quarter(curve),
        summary=(
            f"The training loss is still falling when the run ends, at {curve.last_level:.3g}: "
            f"as its fall fades, about {left:.3g} more was to be gained."
        ),
        evidence={
            "loss_last": curve.last_level,
            "still_to_gain": left,
            "share_of_fall": left / fall,
            "fall_per_1000_steps": 1000 * speed,
        },
    )


def _unseen(run: Run, curve: curves.Curve) -> Finding | None:
    """The finding where a run from scratch ended, still falling, before it had seen all of a small data set."""
    passes, samples = facts.passes(run), run.setup.config_number("dataset_size") or 0.0
    if passes is None or passes >= 1 or samples > facts.SMALL_SET:
        return None
    if facts.is_fine_tuning(run.setup) or facts.takes_tokens(run.setup):
        return None
    if not _falls(run, curve) or any(oscillation.find(run)):
        return None
    return Finding(
        id="undertrained",
        severity=Severity.WARNING,
        confidence=0.5 + 0.4 * (1 - passes),
        window=_last_quarter(curve),
        summary=(
            f"The run ended after {passes:.2g} passes over its {samples:,.0f} samples, with its loss still falling: "
            f"{1 - passes:.0%} of them were never used."
        ),
        evidence={"loss_last": curve.last_level, "passes": passes, "dataset_size": samples, "all_seen": "no"},
    )


def _falls(run: Run, train: curves.Curve) -> bool:
    """Whether the last half falls beyond doubt: the validation loss, else the training loss."""
    validation = run.scalar(VALIDATION_LOSS)
    if validation is not None and len(validation.finite) >= curves.MIN_POINTS:
        return _validation_falls(run, train)
    return curves.trend_score(train.between(int(np.median(train.steps)), int(train.steps[-1]))) < FALLING_SCORE


def _last_quarter(curve: curves.Curve) -> tuple[int, int]:
    return int(curve.steps[-(len(curve) // QUARTER)]), int(curve.steps[-1])


def _what_is_left(curve: curves.Curve, start: float) -> tuple[float, float, float]:
    """The fall so far, its speed at the end (per step), and what is left of it; nothing where no fall is sure.

    With a slope that shrinks by the factor q from one quarter (of length Δ) to the next, the rest is the
    geometric sum speed · Δ · q / (1 − q).
    """
    quarter = len(curve) // QUARTER
    late = curves.Curve(curve.steps[-quarter:], curve.values[-quarter:])
    before = curves.Curve(curve.steps[-2 * quarter : -quarter], curve.values[-2 * quarter : -quarter])
    speed, speed_before = -curves.slope(late), -curves.slope(before)
    length = float(late.steps[-1] - before.steps[-1])
    sure = curves.trend_score(late) < FALLING_SCORE and speed * length > NOISE_FACTOR * curves.step_noise(late.values)
    if speed <= 0 or speed_before <= 0 or not sure:
        return 0.0, 0.0, 0.0
    fade = min(speed / speed_before, SLOWEST_FADE)
    fall = start - curve.last_level
    left = min(speed * length * fade / (1 - fade), fall)
    # A loss that never was negative is not expected to become so.
    return fall, speed, min(left, curve.last_level) if curve.values.min() >= 0 else left


def _validation_falls(run: Run, train: curves.Curve) -> bool:
    """Whether the validation loss falls too in the run's last half; yes where it was not logged."""
    validation = run.scalar(VALIDATION_LOSS)
    if validation is None or len(validation.finite) < curves.MIN_POINTS:
        return True
    half = curves.reduced(validation).between(int(np.median(train.steps)), int(train.steps[-1]))
    return curves.trend_score(half) < VALIDATION_SCORE or _always_falls(half)


def _left_by_validation(run: Run, train: curves.Curve) -> tuple[float, float, float]:
    """The same three numbers from the validation loss, by halves, where it goes down at each late evaluation."""
    validation = run.scalar(VALIDATION_LOSS)
    if validation is None or not curves.MIN_POINTS <= len(validation.finite) == len(validation):
        return 0.0, 0.0, 0.0
    if curves.trend_score(train) > FALLING_SCORE or any(oscillation.find(run)):
        return 0.0, 0.0, 0.0
    curve = curves.reduced(validation)
    half = len(curve) // 2
    late = curves.Curve(curve.steps[-half:], curve.values[-half:])
    before = curves.Curve(curve.steps[:-half], curve.values[:-half])
    speed, speed_before = -curves.slope(late), -curves.slope(before)
    if curves.trend_score(curve) > FALLING_SCORE or not _always_falls(late) or speed <= 0 or speed_before <= 0:
        return 0.0, 0.0, 0.0
    fade = min(speed / speed_before, SLOWEST_FADE)
    fall = float(curve.values[0] - curve.values[-1])
    if late.values[0] - late.values[-1] < LATE_HALF * fall or fall < LEAST * abs(float(curve.values[0])):
        return 0.0, 0.0, 0.0
    left = min(speed * float(late.steps[-1] - before.steps[-1]) * fade / (1 - fade), fall)
    return fall, speed, min(left, float(curve.values[-1])) if curve.values.min() >= 0 else left


def _always_falls(curve: curves.Curve) -> bool:
    """Whether each of the values, four at least, is below the one before: one chance in 24 for four without order."""
    return len(curve) >= FEWEST and bool((np.diff(curve.values) < 0).all())


def _did_not_end(run: Run) -> bool:
    """Whether training goes on or was cut short: our log does not say that it ended by itself, another's is shorter
    than its config plans, be it counted in steps or in epochs.
    """
    if any(name.startswith(OWN_TAGS) for name in run.scalars):
        return not run.finished
    plan = from_config(run.setup.config)
    epochs, ended = plan.number("epochs") or 0.0, REACHED * (plan.planned or 0.0)
    counted_in_epochs = epochs - 1 <= run.steps <= epochs
    return run.steps < ended and not counted_in_epochs


def _crawls(run: Run) -> bool:
    """Whether the fall is a straight line: `slow_descent`, by the curve itself."""
    return any(found.evidence["kind"] == "straight" for found in slow_descent.find(run))
