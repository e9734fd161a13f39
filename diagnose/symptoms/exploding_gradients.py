"""Exploding gradients: the gradients grow by orders of magnitude, over the run or towards the input.

What it looks like   The gradient norm leaves its level and climbs a hundredfold; or, on the heat map, the
                     layers near the input are brighter than the last ones by orders of magnitude.
How it is told       Over time: the last level of the norm before clipping, against its first values and
                     against its median: a hundred times both. Towards the input: each layer's root mean
                     square gradient; the first layer's is a thousand times that of the last one, downward
                     at most layers, for most of the steps. Without per-layer norms the first is left;
                     without the norm before clipping that of the clipped gradients, which may hide it.
Why it matters       One such step throws the weights further than all before it.
Mistaken for         `noisy_gradients` scatter around one level. After convergence to almost no gradient a
                     rise to the level of the first steps is none.
When to ignore it    Single spikes that come back; a loss that fell and ended at its best (`info` then).
Causes               missing_clipping, lr_too_high, bad_initialization, missing_normalization
Sources              K62 (interdependencies §5, §7; deep-dive §5); the ratio 1e3 between layers is the mirror
                     of AutoTrainer's for vanishing ones (Zhang et al. 2021)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves, layers
from diagnose.findings import Finding, Severity
from diagnose.progress import learned
from diagnose.run import Run, Series
from diagnose.signals import GRAD_NORM, GRAD_NORM_UNCLIPPED, TRAIN_LOSS

GROWN = 100.0  # times: two orders of magnitude, where sound runs change by one (`tests/…/test_exploding_gradients.py`)
TOWARDS_INPUT = 1e3  # times the last layer's: the mirror of `vanishing_gradients`
DOWNWARD = 0.6  # of the layers have less than the one before
MIN_LAYERS = 4
FIRST_VALUES = 5
LAST_VALUES = 3  # of a run that ends in no number: a tenth would be too long a look


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from where the climb begins, or over the steps it holds for."""
    norm = run.scalar(GRAD_NORM_UNCLIPPED) or run.scalar(GRAD_NORM)
    over_time = _over_time(run, norm) if norm is not None else None
    found = over_time or _towards_input(run)
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
