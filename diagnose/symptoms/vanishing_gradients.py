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

from diagnose import curves, layers
from diagnose.findings import Finding, Severity
from diagnose.run import Run

STARVED = 1e-3  # of the largest root mean square gradient behind it
MIN_LAYERS = 3
MOST_STEPS = 0.5


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window over the steps at which the first layers starve."""
    found = layers.rms_gradients(run)
    if found is None or len(found.names) < MIN_LAYERS:
        return
    steps, rms, names = found
    behind = np.fmax.accumulate(rms[:, ::-1], axis=1)[:, ::-1][:, 1:]
    starved = rms[:, :-1] < STARVED * behind
    ill = starved[:, 0]
    if ill.mean() < MOST_STEPS:
        return
    usually = starved[ill].mean(axis=0) > 0.5
    depth = int(np.argmin(np.append(usually, False)))  # an unbroken row of layers from the input on
    ratio = float(np.median(rms[ill, 0] / behind[ill, 0]))
    share = f"{ratio:.1e}" if ratio else "none"
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
        layers=names[:depth],
    )
