"""Saturated units: most of a hidden layer's units lie at the flat ends of their activation.

What it looks like   On the heat map of saturation a hidden row is bright from some step on.
How it is told       The share of values at the flat ends of sigmoid, tanh and their kin
                     (`layers/saturated_fraction`: where the slope is under a twentieth of its steepest).
                     Half of them or more, for most of the sampled steps or up to the end. The last
                     layer is left out: an output that is sure of itself lies there on purpose. Where the
                     training loss fell and ended at its best, the severity is `info`, unless these layers
                     are saturated from the first step on by weights far above any initialiser's scale.
Why it matters       At a flat end the slope is next to nothing, and so is every gradient through it.
Mistaken for         `vanishing_gradients` also come from many layers each of which shrinks a little.
When to ignore it    Gates, and codes that are meant to become binary.
Causes               bad_initialization, unnormalized_inputs, lr_too_high
Sources              K60 (interdependencies §3), K62 (interdependencies §5); half of a layer's units is the
                     threshold of SageMaker Debugger's TanhSaturation rule
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves, layers
from diagnose.findings import Finding, Severity
from diagnose.initialization import too_large
from diagnose.progress import learned
from diagnose.run import Run
from diagnose.signals import LAYER_SATURATED_FRACTION

SATURATED = 0.5  # of the values: SageMaker Debugger's TanhSaturation
HARDLY_ALIVE = 0.9  # of the values: nine of ten gradients are stopped


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first to the last sampled step of the saturated stretch."""
    signal = layers.sampled(run, LAYER_SATURATED_FRACTION)
    if signal is None or signal.values.shape[1] < 2:
        return
    share = np.where((signal.values >= 0) & (signal.values <= 1), signal.values, np.nan)[:, :-1]
    places = [place for place in range(share.shape[1]) if layers.lasting(share[:, place] >= SATURATED)]
    if not places:
        return
    held = layers.stretch(np.asarray((share[:, places] >= SATURATED).any(axis=1)))
    level = float(np.nanmax(np.nanmedian(share[held][:, places], axis=0)))
    names = tuple(layers.names(run, signal.values.shape[1])[place] for place in places)
    described = run.setup.layers
    drawn_so = held.start == 0 and len(described) > max(places) and too_large(described[place] for place in places)
    fine = learned(run) and not drawn_so
    worst = Severity.CRITICAL if level >= HARDLY_ALIVE else Severity.WARNING
    yield Finding(
        id="saturated_units",
        severity=Severity.INFO if fine else worst,
        confidence=0.5 + 0.45 * curves.sigmoid(10 * (level - SATURATED - 0.1)),
        window=(int(signal.steps[held.start]), int(signal.steps[held.stop - 1])),
        summary=(
            f"{level:.0%} of what layer {names[0]} puts out lies at the flat ends of its activation"
            f"{f'; so it is in {len(names) - 1} more' if len(names) > 1 else ''}."
        ),
        evidence={
            "saturated_fraction": level,
            "saturated_layers": len(places),
            "sampled_steps": held.stop - held.start,
            "from_the_first_step": layers.yes_or_no(held.start == 0),
        },
        layers=names,
    )
