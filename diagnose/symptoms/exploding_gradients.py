"""Exploding gradients: the gradients grow by orders of magnitude, over the run or towards the input.

What it looks like   The gradient norm leaves its level and climbs a hundredfold; or begins as far above all that
                     follows; or, on the heat map, the
                     layers near the input are brighter than the last ones by orders of magnitude.
How it is told       Over time: the last level of the norm before clipping, against its first values and
                     against its median: a hundred times both; or thirty times its first level while the
                     loss does not end at its best, or has not fallen in the last third (`warning`). Norms that
                     contain layers which nobody moves are not judged so. At the start: the first
                     values, a hundred times the level after the first tenth of the run, where that is no
                     convergence yet: a `warning`. Towards the input: each layer's root mean
                     square gradient; the first layer's is a thousand times that of the last one, downward
                     at most layers, for most of the steps. Without per-layer norms the first is left;
                     without the norm before clipping that of the clipped gradients, which may hide it.
Why it matters       One such step throws the weights further than all before it.
Mistaken for         `noisy_gradients` scatter around one level. After convergence to almost no gradient a
                     rise to the level of the first steps is none.
When to ignore it    Single spikes that come back; a loss that fell and ended at its best (`info` then). A loud
                     start under warmup or clipping, which are made for it.
Causes               missing_clipping, lr_too_high, bad_initialization, missing_normalization
Sources              K62 (interdependencies §5, §7; deep-dive §5); the ratio 1e3 between layers is the mirror
                     of AutoTrainer's for vanishing ones (Zhang et al. 2021)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves, initialization, layers
from diagnose.findings import Finding, Severity
from diagnose.progress import learned, start, still_falls
from diagnose.run import Run, Series
from diagnose.setup_rules.beginning import inputs_far_from_unit_scale
from diagnose.signals import GRAD_NORM, GRAD_NORM_UNCLIPPED, TRAIN_LOSS
from diagnose.symptoms.frozen_parameters import unmoved_layers

GROWN = 100.0  # times: two orders of magnitude, where sound runs change by one (`tests/…/test_exploding_gradients.py`)
STANDING = 30.0  # times the first level, the loss at a standstill: as it falls, small models gain an order and a half
START_SHARE = 0.1  # of the run: what a loud start is compared with begins there, and is as long
TOWARDS_INPUT = 1e3  # times the last layer's: the mirror of `vanishing_gradients`
DOWNWARD = 0.6  # of the layers have less than the one before
MIN_LAYERS = 4
FIRST_VALUES = 5
LAST_VALUES = 3  # of a run that ends in no number: a tenth would be too long a look


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from where the climb begins, or over the steps it holds for."""
    norm = run.scalar(GRAD_NORM_UNCLIPPED) or run.scalar(GRAD_NORM)
    over_time = _over_time(run, norm) or _standing(run, norm) if norm is not None else None
    found = over_time or _towards_input(run) or (_at_the_start(run, norm) if norm is not None else None)
    if found is not None:
        yield found


def _over_time(run: Run, norm: Series) -> Finding | None:
    finite = norm.finite
    if len(finite) < curves.MIN_POINTS:
        return None
    curve = curves.smoothed(curves.reduced(finite))
    usual = max(float(np.median(finite.values[:FIRST_VALUES])), float(np.median(finite.values)))
    last = float(np.median(finite.values[-LAST_VALUES:])) if _breaks_off(run, norm) else curve.last_level
    if not 0 < GROWN * usual <= last:
        return None
    calm = np.flatnonzero(finite.values <= np.sqrt(GROWN) * usual)
    onset = int(finite.steps[calm[-1]]) if len(calm) else int(finite.steps[0])
    fine = learned(run)
    clipped = run.scalar(GRAD_NORM_UNCLIPPED) is not None
    return Finding(
        id="exploding_gradients",
        severity=Severity.INFO if fine else Severity.CRITICAL,
        confidence=(0.6 + 0.39 * curves.sigmoid(np.log10(last / (GROWN * usual)) - 0.5)) * (0.6 if fine else 1.0),
        window=(onset, int(finite.steps[-1])),
        summary=f"The gradient norm climbs from {usual:.3g} to {last:.3g} after step {onset} and stays there.",
        evidence={
            "grad_norm_usual": usual,
            "grad_norm_last": last,
            "growth": last / usual,
            "grows": "over time",
            "clipped": layers.yes_or_no(clipped),
            "from_the_first_step": "no",
        },
    )


def _standing(run: Run, norm: Series) -> Finding | None:
    """A norm that has climbed while the loss does not fall any more."""
    finite = norm.finite
    if len(finite) < 3 * curves.MIN_POINTS or (learned(run) and still_falls(run)) or _some_do_not_move(run):
        return None
    first, last = start(finite), curves.reduced(finite).last_level
    if not 0 < STANDING * first <= last:
        return None
    calm = np.flatnonzero(finite.values <= np.sqrt(STANDING) * first)
    onset = int(finite.steps[calm[-1]]) if len(calm) else int(finite.steps[0])
    return Finding(
        id="exploding_gradients",
        severity=Severity.WARNING if learned(run) else Severity.CRITICAL,
        confidence=0.6 + 0.3 * curves.sigmoid(np.log10(last / (STANDING * first)) - 0.5),
        window=(onset, int(finite.steps[-1])),
        summary=f"The gradient norm climbs from {first:.3g} to {last:.3g} while the loss does not fall any more.",
        evidence={
            "grad_norm_usual": first,
            "grad_norm_last": last,
            "growth": last / first,
            "grows": "over time",
            "clipped": layers.yes_or_no(run.scalar(GRAD_NORM_UNCLIPPED) is not None),
            "from_the_first_step": "no",
        },
    )


def _some_do_not_move(run: Run) -> bool:
    """Whether trainable layers never move: what nobody steps along may be as steep as it likes."""
    still = unmoved_layers(run)
    described = run.setup.layers
    if still is None or len(described) != len(still[1]):
        return False
    return any(stuck and layer.trainable and layer.parameters for stuck, layer in zip(still[1], described, strict=True))


def _at_the_start(run: Run, norm: Series) -> Finding | None:
    """A norm that begins far above the level it has after the first tenth."""
    values = norm.finite.values
    after = int(len(values) * START_SHARE)
    if after < FIRST_VALUES or run.start > 0:
        return None
    first = float(np.median(values[:FIRST_VALUES]))
    settled = float(np.median(values[after : 2 * after]))
    if not 0 < GROWN * settled * _as_it_converges(run) <= first:
        return None
    loud = int(np.argmax(values <= np.sqrt(GROWN) * settled))
    return Finding(
        id="exploding_gradients",
        severity=Severity.WARNING,
        confidence=0.6 + 0.3 * curves.sigmoid(np.log10(first / (GROWN * settled)) - 0.5),
        window=(int(norm.finite.steps[0]), int(norm.finite.steps[loud])),
        summary=f"The gradient norm begins at {first:.3g}, {first / settled:.3g} times the level that follows.",
        evidence={
            "grad_norm_first": first,
            "grad_norm_usual": settled,
            "growth": first / settled,
            "grows": "at the start",
            "clipped": layers.yes_or_no(run.scalar(GRAD_NORM_UNCLIPPED) is not None),
            "from_the_first_step": "yes",
        },
    )


def _as_it_converges(run: Run) -> float:
    """How much smaller a quadratic's gradient gets with its loss: the root of the loss's fall, 1 at the least.

    Weights or inputs that are out of scale from the beginning make a start loud whatever the loss does.
    """
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or not len(loss.finite) or initialization.too_large(run.setup.layers):
        return 1.0
    if inputs_far_from_unit_scale(run) is not None:
        return 1.0
    first, last = start(loss), curves.reduced(loss).last_level
    if not learned(run) or first <= 0:
        return 1.0
    return float(np.sqrt(first / last)) if 0 < last < first else np.inf if last <= 0 else 1.0


def _breaks_off(run: Run, norm: Series) -> bool:
    """Whether the norm or the training loss ends in no finite number."""
    loss = run.scalar(TRAIN_LOSS)
    return not np.isfinite(norm.values[-1]) or (loss is not None and not np.isfinite(loss.values[-1]))


def _towards_input(run: Run) -> Finding | None:
    found = layers.rms_gradients(run)
    if found is None:
        return None
    reached = (found.rms > 0).mean(axis=0) > layers.MOST_STEPS  # an unused layer behind has none at all
    rms, names = found.rms[:, reached], tuple(np.array(found.names, object)[reached])
    if rms.shape[1] < MIN_LAYERS:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(rms[:, -1] > 0, rms[:, 0] / rms[:, -1], 0.0)
    downward = (np.diff(rms, axis=1) < 0).mean(axis=1) >= DOWNWARD
    held = layers.lasting((ratio >= TOWARDS_INPUT) & downward)
    if held is None:
        return None
    level = float(np.median(ratio[held]))
    fine = learned(run)
    return Finding(
        id="exploding_gradients",
        severity=Severity.INFO if fine else Severity.CRITICAL,
        confidence=(0.6 + 0.39 * curves.sigmoid(np.log10(max(level, 1.0) / TOWARDS_INPUT) - 0.5))
        * (0.6 if fine else 1.0),
        window=(int(found.steps[held.start]), int(found.steps[held.stop - 1])),
        summary=f"The gradient grows towards the input: layer {names[0]} gets {level:.1e} times that of {names[-1]}.",
        evidence={
            "gradient_ratio": level,
            "grows": "towards the input",
            "clipped": layers.yes_or_no(run.scalar(GRAD_NORM_UNCLIPPED) is not None),
            "from_the_first_step": layers.yes_or_no(held.start == 0),
        },
        layers=(names[0],),
    )
