"""Underfitting: the training loss ends level at a poor level, and validation does no worse.

What it looks like   Two curves close together that flatten far above what the task allows.
How it is told       The end is level: the last third of the training loss gains less than a fiftieth of the
                     fall; or the rate was decayed to a tenth or less by plan, and the second half gained less
                     than a third of the fall, or one of (2) to (7) holds; or the loss ends at that of a guess;
                     or the rate went under a fiftieth of its peak within the first tenth of the run.
                     Validation is no further from training than a tenth of that fall. And the level is
                     known to be poor, by one of:
                     (1) The run's skill (accuracy corrected for chance as Cohen's κ, or
                     1 − loss / ln(classes)) is at most 0.4, which is “fair” at best. A run at chance from its
                     start to its end is `no_learning` alone, unless its loss moved in between or one of the
                     following explains it. Without `num_classes` the accuracy's scale is not known: an `info`.
                     (2) Weight decay pulls each weight back within fewer steps than an epoch has, and the
                     weights' norm has shrunk to a third or less.
                     (3) No gradient at all reached a trainable layer in the run's last third.
                     (4) A hidden layer of a single unit, which the next one reads: nothing but one number
                     passes it. Or a last layer that reads fewer units than log2(classes), with a skill
                     as poor as in (1).
                     (5) Every hidden layer began with all of its weights at 0, so that its units are alike.
                     (6) The updates add up to more than the weights' own norm, and yet the loss ends no lower
                     than it began.
                     (7) Dropout of seven in ten units or more.
                     (3), (4), (5) and (7) say nothing of a loss that has come down to a tenth.
                     Elsewhere nothing tells a poor level from the best possible, and nothing is said.
Why it matters       The model does not learn even what it is shown: more data or more steps will not help.
Mistaken for         `no_learning` is at chance from the start; `undertrained` and `slow_descent` still fall;
                     `overfitting` and `validation_stall` have a gap; a converged run is at a good level.
When to ignore it    A task whose labels no model can tell apart better (noise, rare events); an autoencoder
                     that was meant to pass a single number.
Causes               model_too_small, too_much_regularization, lr_too_high, missing_decay, unlearnable_labels
Sources              K42 (deep-dive §5, §6), K44 (deep-dive §7); κ ≤ 0.4: Landis & Koch (1977); the time scale
                     1 / (rate · decay) of weight decay: Wang & Aitchison, “How to set AdamW's weight decay as
                     you scale model and dataset size” (2024)
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log2

import numpy as np

from diagnose import curves, facts, progress
from diagnose.chance import POOR, chance_loss, classes, skill
from diagnose.findings import Finding, Severity
from diagnose.run import Run, Series
from diagnose.schedules import peak_lr, share_of_peak, warmup_steps
from diagnose.setup_rules.regularization import HEAVY_DROPOUT
from diagnose.signals import LAYER_GRAD_NORM, LR, PARAM_NORM, TRAIN_LOSS, VALIDATION_LOSS
from diagnose.symptoms import divergence, no_learning, oscillation, slow_descent

MIN_VALUES = 40
THIRD = 3
STILL = 0.02  # of the fall: less in a third of the run is level
LATE_GAIN = 1 / 3  # of the fall, in the second half of an annealed run: a straight line gains a half there
ANNEALED = 0.1  # of the peak rate: the schedule has ended, and the level is the one that was planned for
NARROW = 0.1  # of the fall: a gap between validation and training that is none
NOISE_FACTOR = 4.0  # deviations of the noise: a gap within it is none
KNOWN = 0.1  # of the fall: the standard error of the gain above which nobody can say that it is none
FALLING_SCORE = -2.0  # Mann–Kendall: a trend that may be one
GONE = 0.02  # of the peak rate: a loss that is level since the rate went was not done
BRIEF = 0.1  # of the run: the stretch before the rate goes by which `plateau` tells that the fall was cut off
CONVERGED = 0.1  # of the first loss: what is left then is the data's, for all that the set-up may say
SHRUNK = 1 / 3  # of the first weight norm: weights that decay, and not the data, decides on
PATH = 1.0  # of the weights' norm, summed over all updates: the weights have been elsewhere
NO_LOWER = "no lower than it began, although the weights moved by more than their own norm"
AT_CHANCE = 0.05  # of ln(classes): what `no_learning` counts as chance


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from where the loss has become level to the end."""
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or len(loss.finite) < max(MIN_VALUES, len(loss)):
        return
    curve, reached = curves.reduced(loss), skill(run)
    third = curve.values[-(len(curve) // THIRD) :]
    level = float(np.median(third[-(len(third) // 2) :]))
    why = _held_down(run, curve, level)
    poor = why is not None if reached is None else reached <= POOR
    if not poor or (why != NO_LOWER and not _ended(run, curve, level, held=why is not None)):
        return
    fall = curves.start_level(loss) - level
    gap = _gap(run, level)
    if gap is not None and gap > max(NARROW * fall, NOISE_FACTOR * curves.noise(third)):
        return
    if why is None and _explained(run, curve, level):
        return
    smooth = curves.smoothed(curve)
    high = np.flatnonzero(smooth.values > level + max(NARROW / 2 * fall, curves.noise(curve.values)))
    onset = int(smooth.steps[min(int(high[-1]) + 1, len(smooth) - len(third))]) if len(high) else loss.start
    known = why is not None or classes(run) is not None
    told = f"with {max(reached, 0):.0%} of the way from guessing to perfect" if reached is not None else why
    also = f" ({why})" if reached is not None and why else ""
    yield Finding(
        id="underfitting",
        severity=Severity.WARNING if known else Severity.INFO,
        confidence=_confidence(reached, why) if known else 0.5,
        window=(onset, int(curve.steps[-1])),
        summary=(
            f"The training loss is level at {level:.3g} from step {onset} on, {told}{also}"
            f"{'' if gap is None else ', and validation is no worse'}."
        ),
        evidence={
            "loss_level": level,
            **({"skill": reached} if reached is not None else {}),
            **({"held_down": why} if why else {}),
            **({"gap": gap} if gap is not None else {}),
        },
    )


def _explained(run: Run, curve: curves.Curve, level: float) -> bool:
    """Whether another symptom says all there is: it swings, never began, crawls, or went up and stayed."""
    if any(oscillation.find(run)) or (any(no_learning.find(run)) and not _moved(run, curve)):
        return True
    rate = share_of_peak(run.scalar(LR), int(curve.steps[-(len(curve) // THIRD)]))
    if (rate is None or rate >= GONE) and any(slow_descent.find(run)):
        return True
    return not _at_chance(run, level) and any(divergence.find(run))


def _at_chance(run: Run, level: float) -> bool:
    chance = chance_loss(run)
    return chance is not None and abs(level - chance) < AT_CHANCE * chance


def _confidence(reached: float | None, why: str | None) -> float:
    by_skill = 0.5 + 0.4 * curves.sigmoid(4 * (POOR - reached) / POOR - 1) if reached is not None else 0.0
    return max(by_skill, 0.7 if why else 0.0)


def _ended(run: Run, curve: curves.Curve, level: float, *, held: bool) -> bool:
    """Whether the curve's end is its end: level, or annealed by plan with little gained in the second half."""
    loss, lr = run.scalars[TRAIN_LOSS], run.scalar(LR)
    third = curves.Curve(curve.steps[-(len(curve) // THIRD) :], curve.values[-(len(curve) // THIRD) :])
    if loss.start + warmup_steps(lr) >= third.steps[0]:
        return False
    begin, fall = float(max(curves.start_level(loss), curve.values.max())), curves.start_level(loss) - level
    best = float(curves.smoothed(curve).values.min())
    rate, last = share_of_peak(lr, int(third.steps[0])), share_of_peak(lr, int(curve.steps[-1]))
    if rate is not None and rate < GONE and _rate_gone(lr, loss, int(curve.steps[-1])) > BRIEF:
        return False
    if (rate is not None and rate < GONE) or _at_chance(run, level):
        return True
    if last is not None and last <= ANNEALED:
        half = float(np.median(curve.values[len(curve) * 2 // 5 : len(curve) * 3 // 5]))
        return held or half - level <= LATE_GAIN * (begin - min(level, best))
    before, after = float(np.median(third.values[: len(third) // 2])), level
    error = curves.step_noise(third.values) / (len(third) / 4) ** 0.5
    if before - after > max(STILL * fall, error) or error > KNOWN * max(fall, begin - best):
        return False
    return curves.trend_score(third) >= FALLING_SCORE


def _rate_gone(lr: Series | None, loss: Series, end: int) -> float:
    """The share of the run after which the rate stayed under a fiftieth of its peak."""
    if lr is None:
        return 1.0
    high = np.flatnonzero(lr.finite.values > GONE * lr.finite.values.max())
    return float(lr.finite.steps[high[-1]] - loss.start) / max(end - loss.start, 1)


def _moved(run: Run, curve: curves.Curve) -> bool:
    """Whether the loss has clearly been above its end, or the weights elsewhere: it was trained, not left alone."""
    if (progress.path(run) or 0.0) > PATH:
        return True
    smooth = curves.smoothed(curve).values
    chance = chance_loss(run) or abs(curve.last_level)
    noise = curves.noise(curve.values[-(len(curve) // THIRD) :])
    return float(smooth.max()) - curve.last_level > max(AT_CHANCE * chance, NOISE_FACTOR * noise)


def _held_down(run: Run, curve: curves.Curve, level: float) -> str | None:
    """What the set-up and the other signals say keeps the model from fitting; None where they say nothing."""
    since = int(curve.steps[0] + 2 * (curve.steps[-1] - curve.steps[0]) // THIRD)
    if _decays_too_fast(run):
        return "weight decay shrinks the weights faster than an epoch can build them up"
    converged = level <= CONVERGED * progress.start(run.scalars[TRAIN_LOSS])  # what fits so well is not held down
    if not converged and _cut_off(run, since):
        return "no gradient reaches some layers"
    if (
        run.start == 0
        and (progress.path(run) or 0.0) > PATH
        and not facts.is_fine_tuning(run.setup)
        and _not_below_start(run, level)
    ):
        return NO_LOWER
    if not converged and (facts.dropout(run.setup) or 0.0) >= HEAVY_DROPOUT:
        return "dropout leaves fewer than three units in ten"
    return None if converged else _narrow(run)


def _narrow(run: Run) -> str | None:
    """What the layers themselves say: a bottleneck, or hidden units that begin all alike; else None."""
    matrices = [layer for layer in run.setup.layers if "fan_in" in layer.init and "fan_out" in layer.init]
    hidden, number = matrices[:-1], classes(run)
    reads = [layer.init["fan_in"] for layer in matrices[1:]]
    if any(layer.init["fan_out"] <= 1 and after <= 1 for layer, after in zip(hidden, reads, strict=True)):
        return "a hidden layer has a single unit"
    if number and matrices and matrices[-1].init["fan_out"] == number and matrices[-1].init["fan_in"] < log2(number):
        return "the last layer reads fewer units than its classes have bits"
    if hidden and all(layer.init.get("weight_std") == 0 for layer in hidden):
        return "all hidden weights began at 0"
    return None


def _not_below_start(run: Run, level: float) -> bool:
    """Whether the end is within a deviation of single values of where the loss began."""
    loss = run.scalars[TRAIN_LOSS]
    return level > progress.start(loss) - curves.noise(loss.finite.values)


def _decays_too_fast(run: Run) -> bool:
    """Whether weights forget within an epoch, 1 / (rate · decay) steps, and have shrunk for it."""
    epoch, decay, rate = facts.steps_per_epoch(run.setup), facts.weight_decay(run.setup), peak_lr(run.scalar(LR))
    norm = run.scalar(PARAM_NORM)
    if not epoch or not decay or not rate or norm is None or len(norm.finite) < 2:
        return False
    kept = 1 - min(run.setup.optimizer_setting("momentum") or 0.0, 0.999)
    values = norm.finite.values
    return kept / (rate * decay) < epoch and bool(values[-1] < SHRUNK * values[0])


def _cut_off(run: Run, since: int) -> bool:
    """Whether some trainable layer's gradient is exactly 0 at each step from `since` on."""
    gradients = run.per_layer(LAYER_GRAD_NORM)
    if gradients is None:
        return False
    late = gradients.values[gradients.steps >= since]
    trainable = np.array([layer.trainable for layer in run.setup.layers], dtype=bool)
    if len(late) < curves.MIN_POINTS or len(trainable) != late.shape[1]:
        return False
    return bool((late == 0).all(axis=0)[trainable].any()) and bool((late > 0).any())


def _gap(run: Run, level: float) -> float | None:
    """The last validation level minus the training loss's; None where no validation loss was logged."""
    validation = run.scalar(VALIDATION_LOSS)
    if validation is None or not len(validation.finite):
        return None
    return curves.reduced(validation).last_level - level
