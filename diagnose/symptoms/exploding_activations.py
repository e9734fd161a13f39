"""Exploding activations: the signal grows from layer to layer, or over the run, by orders of magnitude.

What it looks like   On the heat map of activation variance the rows get brighter with depth, each brighter
                     than the one before; or the whole map gets brighter from some step on.
How it is told       The variance over samples of each layer's output. With depth: from the first layer to
                     the last hidden one it grows ten-thousandfold, upward at most layers, for most of the
                     sampled steps from the first on: a normalisation layer in between ends such a row. Over
                     time: a hidden layer ends, for several sampled steps, ten thousand times above what any
                     layer had in the first ones. Where most hidden layers began with weights over three
                     times what keeps the variance, He's or Glorot's, a tenfold growth per layer is
                     enough, at the first sampled step and for most of them or up to the end.
                     The last layer's scale is the task's, and no matter.
Why it matters       Large signals have large gradients; soon one of them is no number any more.
Mistaken for         Inputs that are large themselves make all layers large alike. Residual streams grow with
                     depth too, by as much as there are blocks.
When to ignore it    While the loss falls all the same: the severity is `info` then, or a `warning` where the
                     weights began too large; a loss that begins millions too high falls in any case.
Causes               bad_initialization, missing_normalization, lr_too_high
Sources              K61 (interdependencies §3, §5; deep-dive §5), K60 (interdependencies §3); He et al. 2015:
                     weights that keep the variance from layer to layer
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from diagnose import curves, layers
from diagnose.findings import Finding, Severity
from diagnose.initialization import too_large
from diagnose.progress import learned
from diagnose.run import Run
from diagnose.signals import LAYER_ACTIVATION_VARIANCE

GROWN = 1e4  # times in variance, a hundredfold in amplitude: the mirror of `vanishing_activations`
PER_LAYER = 10.0  # times in variance, about the square of `initialization.TOO_LARGE`
UPWARD = 0.8  # of the layers are above the one before
MIN_LAYERS = 4  # three hidden ones: depth needs them to be seen
FIRST_SAMPLES = 3


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window over the sampled steps at which the signal is that large."""
    signal = layers.sampled(run, LAYER_ACTIVATION_VARIANCE)
    if signal is None or signal.values.shape[1] < MIN_LAYERS:
        return
    variance = np.where(signal.values >= 0, signal.values, np.nan)
    hidden = variance[:, :-1]
    growth, grown_at = _with_depth(hidden)
    loud = _begins_too_large(run, signal.values.shape[1])
    limit = min(GROWN, PER_LAYER ** (hidden.shape[1] - 1)) if loud else GROWN
    held, where = layers.lasting(growth >= limit), "depth"
    if held is None or held.start > 0:  # what grew to that over the run has another cause
        growth, grown_at = _over_time(variance, hidden)
        loud, limit = False, GROWN
        held, where = layers.lasting(growth >= GROWN), "time"
    if held is None:
        return
    factor = float(np.median(growth[held][np.isfinite(growth[held])])) if np.isfinite(growth[held]).any() else np.inf
    names = layers.names(run, signal.values.shape[1])
    places = np.unique(grown_at[held][growth[held] >= limit])
    fine = learned(run)
    told = (
        f"From layer to layer the variance of outputs grows, {factor:.1e}-fold up to layer {names[places[-1]]}."
        if where == "depth"
        else f"From step {signal.steps[held.start]} on the variance of layer {names[places[-1]]}'s output is "
        f"{factor:.1e} times the largest of the first steps."
    )
    yield Finding(
        id="exploding_activations",
        severity=Severity.CRITICAL if not fine else Severity.WARNING if loud else Severity.INFO,
        confidence=(0.6 + 0.39 * curves.sigmoid(np.log10(factor / limit) - 0.5)) * (1.0 if loud or not fine else 0.7),
        window=(int(signal.steps[held.start]), int(signal.steps[held.stop - 1])),
        summary=told,
        evidence={
            "growth_of_variance": factor,
            "grows_with": where,
            "sampled_steps": held.stop - held.start,
            "from_the_first_step": layers.yes_or_no(where == "depth" and held.start == 0),
        },
        layers=tuple(names[place] for place in places),
    )


def _begins_too_large(run: Run, width: int) -> bool:
    return len(run.setup.layers) == width and too_large(run.setup.layers[:-1])


def _with_depth(hidden: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """At each step the growth from the first layer to the last hidden one, 0 where it is no steady climb."""
    with np.errstate(all="ignore"):
        growth = hidden[:, -1] / hidden[:, 0]
        upward = (np.diff(hidden, axis=1) > 0).mean(axis=1)
    growth = np.where(np.isfinite(growth) & (upward >= UPWARD), growth, 0.0)
    return growth, np.full(len(hidden), hidden.shape[1] - 1)


def _over_time(
    variance: NDArray[np.float64], hidden: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """At each step the largest hidden variance over the largest that any layer had at first, and the layer it is in.

    The first samples' least: a rate far too high needs only a few steps.
    """
    filled = np.nan_to_num(hidden, nan=0.0, posinf=np.inf)
    base = float(np.nan_to_num(variance[:FIRST_SAMPLES], nan=0.0, posinf=np.inf).max(axis=1).min())
    with np.errstate(all="ignore"):
        growth = np.nan_to_num(filled.max(axis=1) / base, nan=0.0, posinf=0.0 if base == 0 else np.inf)
    return growth, filled.argmax(axis=1)
