"""Vanishing activations: from layer to layer less and less of the signal is left.

What it looks like   On the heat map of activation variance the rows get darker with depth, by orders of
                     magnitude: the deep layers put out nearly the same for every input.
How it is told       The variance over samples of each layer's output. A layer has lost the signal where
                     its variance is under a ten-thousandth of the largest before it; it is a symptom
                     where a run of layers has, up to the last hidden one, for most of the sampled steps,
                     of which there are at least two; of fewer than five, all. Where most layers began
                     with weights under a third of any usual scale, the first of them is enough, for a
                     `warning`: what recovers has lost its first steps, and deep layers begin alike.
Why it matters       What does not depend on the input any more cannot be learned from.
Mistaken for         `dead_units` are zeros in one layer; a bottleneck narrows in width, not in variance.
When to ignore it    In the first steps only, where training recovers by itself and soon enough.
Causes               bad_initialization, missing_normalization
Sources              K61 (interdependencies §3, §5; deep-dive §5), K60 (interdependencies §3)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves, layers
from diagnose.findings import Finding, Severity
from diagnose.initialization import too_small
from diagnose.run import Run
from diagnose.signals import LAYER_ACTIVATION_VARIANCE

LOST = 1e-4  # of the largest variance before it: one part in a hundred of the amplitude
MIN_LAYERS = 3  # depth needs at least three layers to be seen
MIN_SAMPLES = 2  # a short run of short steps is looked at rarely: of fewer than five looks all must show it
MOST_STEPS = 0.5  # of the sampled steps


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window over the sampled steps at which the signal is lost."""
    signal = layers.sampled(run, LAYER_ACTIVATION_VARIANCE, MIN_SAMPLES)
    if signal is None or signal.values.shape[1] < MIN_LAYERS:
        return
    variance = np.where(signal.values >= 0, signal.values, np.nan)  # logs may hold anything
    before = np.fmax.accumulate(variance, axis=1)[:, :-1]
    with np.errstate(invalid="ignore"):
        lost = variance[:, 1:] < LOST * before
    # The last layer's own scale is the task's (logits, a mean): the layer before it must be lost too.
    ill = lost[:, -2]
    lasts = ill.mean() >= MOST_STEPS and (len(ill) >= layers.MIN_SAMPLES or ill.all())
    described = run.setup.layers
    if not lasts and not (ill[0] and len(described) == len(lost[0]) + 1 and too_small(described)):
        return
    usually_lost = lost[ill].mean(axis=0) > 0.5
    # Lost from a layer on: one that lies further up and recovers is another matter.
    sound = np.flatnonzero(~usually_lost[:-1])
    start = int(sound[-1]) + 1 if len(sound) else 0
    columns = np.flatnonzero(usually_lost[start:]) + start + 1
    # What is lost lies under a share of what came before, so the divisor is never 0.
    deepest = lost[:, columns[-1] - 1] & ill
    ratio = float(np.median(variance[deepest, columns[-1]] / before[deepest, columns[-1] - 1]))
    steps = signal.steps[ill]
    width = variance.shape[1]
    names = layers.names(run, width)
    yield Finding(
        id="vanishing_activations",
        severity=Severity.CRITICAL if lasts else Severity.WARNING,
        confidence=0.7 if not lasts else 0.6 + 0.39 * curves.sigmoid(np.log10(LOST / max(ratio, 1e-300)) - 0.5),
        window=(int(steps[0]), int(steps[-1])),
        summary=(
            f"From layer {names[columns[0]]} on, outputs hardly depend on the input: their variance is "
            f"{f'{ratio:.1e} of that of the layers before' if ratio else 'zero'}."
        ),
        evidence={
            "variance_ratio": float(ratio),
            "layers_lost": len(columns),
            "share_of_sampled_steps": float(ill.mean()),
            "from_the_first_step": "yes" if ill[0] else "no",
        },
        layers=tuple(names[c] for c in columns),
    )
