"""Vanishing gradients: the first layers get almost no gradient, the last ones plenty.

What it looks like   On the heat map of gradient norms the upper rows (the layers near the input) are
                     darker than the lower by orders of magnitude, step after step.
How it is told       Each layer's root mean square gradient (norm over the square root of its parameter
                     count, so that size does not matter). The layers whose gradient is under a thousandth
                     of the largest behind them, from the input on, for most of the steps.
Why it matters       The layers near the input stay as they were initialised.
Mistaken for         `frozen_parameters` have no gradient at all; `dead_units` hit single layers.
When to ignore it    After convergence, where all gradients are small together (the ratio stays near 1).
Causes               bad_initialization, missing_normalization
Sources              K62 (interdependencies §5, §7; deep-dive §5); the ratio 1e-3 between layers is
                     AutoTrainer's (Zhang et al. 2021)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from diagnose import curves
from diagnose.findings import Finding, Severity
from diagnose.run import LayerSeries, Run
from diagnose.signals import LAYER_GRAD_NORM

STARVED = 1e-3  # of the largest root mean square gradient behind it
MIN_LAYERS = 3
MOST_STEPS = 0.5
MAX_ROWS = 2_000  # steps looked at: evenly spread, so that the cost is bounded


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window over the steps at which the first layers starve."""
    signal = run.per_layer(LAYER_GRAD_NORM)
    layers = run.setup.layers
    if signal is None or len(layers) != signal.values.shape[1] or len(layers) < MIN_LAYERS:
        return
    trainable = np.array([layer.trainable and layer.parameters > 0 for layer in layers])
    if trainable.sum() < MIN_LAYERS:
        return
    steps, rms = _rms(signal, np.array([max(layer.parameters, 1) for layer in layers]), trainable)
    behind = np.fmax.accumulate(rms[:, ::-1], axis=1)[:, ::-1][:, 1:]
    starved = rms[:, :-1] < STARVED * behind
    ill = starved[:, 0]
    if len(ill) == 0 or ill.mean() < MOST_STEPS:
        return
    usually = starved[ill].mean(axis=0) > 0.5
    depth = int(np.argmin(np.append(usually, False)))  # an unbroken row of layers from the input on
    ratio = float(np.median(rms[ill, 0] / behind[ill, 0]))
    share = f"{ratio:.1e}" if ratio else "none"
    names = [layer.name for layer, kept in zip(layers, trainable, strict=True) if kept]
    yield Finding(
        id="vanishing_gradients",
        severity=Severity.CRITICAL,
        confidence=0.6 + 0.39 * curves.sigmoid(np.log10(STARVED / max(ratio, 1e-300)) - 0.5),
        window=(int(steps[ill][0]), int(steps[ill][-1])),
        summary=(
            f"Layer {names[0]} gets {share} of the gradient that the layers behind it get; "
            f"{depth} layer{'s' if depth > 1 else ''} from the input on hardly learn."
        ),
        evidence={
            "gradient_ratio": ratio,
            "layers_starved": depth,
            "share_of_steps": float(ill.mean()),
            "from_the_first_step": "yes" if ill[0] else "no",
        },
        layers=tuple(names[:depth]),
    )


def _rms(
    signal: LayerSeries, sizes: NDArray[np.int64], trainable: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps and root mean square gradients (rows: steps with finite gradients, columns: trainable layers)."""
    rows = np.unique(np.linspace(0, len(signal) - 1, min(len(signal), MAX_ROWS)).astype(int))
    rms = (signal.values[rows] / np.sqrt(sizes))[:, trainable].astype(np.float64)
    sound = np.isfinite(rms).all(axis=1) & (rms.max(axis=1) > 0)
    return signal.steps[rows][sound], rms[sound]
