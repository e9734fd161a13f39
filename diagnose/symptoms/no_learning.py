"""No learning: the training loss never leaves the level it began at.

What it looks like   A flat band of noise from the first step to the last; for a classifier at ln(classes),
                     the loss of a uniform guess.
How it is told       No level of the whole curve lies clearly under its start: the best smoothed level is
                     within three standard errors of the first values, there is no trend, and steps enough
                     have passed to see a fall of a twentieth. Where `num_classes` is known, the loss must
                     never come a twentieth under ln(classes), and be there all the time, or flat above it, or
                     back there at its end however far it went up in between; an accuracy that rises above
                     chance speaks against it: then it is `critical`. Without such a scale a loss that
                     hardly moves may be a model that has nothing left to learn: an `info`.
Why it matters       The run has done nothing.
Mistaken for         `plateau` has fallen before, or falls later; `slow_descent` falls, if slowly; `divergence`
                     ends far above; an `underfitting` model has learned something.
When to ignore it    Fine-tuning of what already fits; generative losses whose floor is their start;
                     a run that is still warming up.
Causes               lr_too_low, lr_too_high, bad_initialization, unlearnable_labels,
                     optimizer_misses_parameters, unnormalized_inputs
Sources              K02 (deep-dive §2), K61, K62 (interdependencies §3, §5), K84 (tune-like-a-champ
                     “Key Takeaways”); loss at chance: Karpathy, “A Recipe for Training Neural Networks” (2019)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves
from diagnose.chance import TRAIN_ACCURACY, VALIDATION_ACCURACY, accuracy, chance_loss, classes
from diagnose.findings import Finding, Severity
from diagnose.run import Run, Series
from diagnose.schedules import warmup_steps
from diagnose.signals import LR, TRAIN_LOSS
from diagnose.symptoms import divergence, slow_descent

MIN_VALUES = 50  # after warmup: fewer steps teach no network anything
NEAR = 0.05  # of ln(classes): a fall of a twentieth is learning
STANDARD_ERRORS = 3.0
FALLING_SCORE = -3.0  # Mann–Kendall: one chance in a thousand without a trend
ABOVE_CHANCE = 0.1  # of the way from a guess to perfect: learning, whatever the loss says
LEAP = 1.5  # times the loss of a guess, or the first one: far under the twice and more of weights that were thrown


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window the whole run."""
    loss = run.scalar(TRAIN_LOSS)
    if loss is None:
        return
    sound = loss.finite
    after_warmup = int((sound.steps > loss.start + warmup_steps(run.scalar(LR))).sum()) if len(sound) else 0
    if after_warmup < MIN_VALUES or len(sound) < len(loss):
        return
    raw, chance = curves.reduced(loss), chance_loss(run)
    back = chance is not None and raw.last_level < (1 + NEAR) * chance  # whatever it did between, a guess is left
    if (any(divergence.find(run)) and not back) or any(slow_descent.find(run)):
        return
    best = float(curves.smoothed(raw, 11).values.min())
    level, start = float(np.median(sound.values)), curves.start_level(loss)
    noise = curves.noise(sound.values)
    if chance is not None:
        held = back or level < (1 + NEAR) * chance or _flat(raw, best, start, noise, len(sound))
        if not held or not _never_under(chance, best, noise, len(sound)) or _accurate(run):
            return
    elif not _flat(raw, best, start, noise, len(sound)) or _accurate(run):
        return
    yield _finding(run, start, level, best, chance)


def _never_under(chance: float, best: float, noise: float, values: int) -> bool:
    """Whether the loss was never clearly under `chance`, and is known well enough to say so."""
    known = STANDARD_ERRORS * noise < NEAR * chance * values**0.5
    return bool(known and best > (1 - NEAR) * chance - noise * (11 / values) ** 0.5)


def _flat(raw: curves.Curve, best: float, start: float, noise: float, values: int) -> bool:
    """Whether nothing but noise moves the curve: neither a trend nor a level under the start."""
    first_values = max(1, int(values * curves.START_SHARE))
    error = noise / first_values**0.5
    return start - best <= STANDARD_ERRORS * error and abs(curves.trend_score(raw)) < -FALLING_SCORE


def _accurate(run: Run) -> bool:
    """Whether some accuracy rises above what guessing gives (or, its classes unknown, rises at all)."""
    number = classes(run)
    for name in (TRAIN_ACCURACY, VALIDATION_ACCURACY):
        share = accuracy(run.scalar(name))
        if share is None:
            continue
        curve = curves.reduced(share)
        guess = 1 / number if number else curve.first_level
        if curve.last_level > guess + ABOVE_CHANCE * (1 - guess):
            return True
    return False


def _calm(loss: Series, chance: float) -> str:
    """Whether no value lies far above a guess's and the first, as it does after a step that throws the weights."""
    sound = loss.finite.values
    return "yes" if float(sound.max()) < LEAP * max(chance, float(sound[0])) else "no"


def _finding(run: Run, start: float, level: float, best: float, chance: float | None) -> Finding:
    loss = run.scalars[TRAIN_LOSS]
    scale = f"at the {chance:.3g} of a uniform guess among {classes(run)} classes" if chance else "as at its start"
    return Finding(
        id="no_learning",
        severity=Severity.CRITICAL if chance else Severity.INFO,
        confidence=0.9 if chance else 0.5,
        window=(loss.start, int(loss.finite.steps[-1])),
        summary=(
            f"The training loss stays at {level:.3g} for all {len(loss)} values, {scale}"
            + ("." if chance else "; whether there is anything left to learn, the curve cannot tell.")
        ),
        evidence={
            "loss_first": start,
            "loss_level": level,
            "loss_best": best,
            **({"loss_of_a_guess": chance, "calm": _calm(loss, chance)} if chance else {}),
        },
    )
