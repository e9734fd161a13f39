"""Huge updates: each step replaces a good part of the weights.

What it looks like   The update ratio ‖Δθ‖/‖θ‖ lies orders of magnitude above 1e-3, step after step.
How it is told       The update ratio of sampled steps: a tenth or more, a hundred times the usual 1e-3, for
                     most of them or up to the end, or at the last one before the ratio is no number any
                     more. A `warning`, `critical` from 1 on, where a step is as
                     long as the weights themselves; `info` where the loss fell and ended at its best. Where
                     layers were measured apart, those with such a ratio are named.
Why it matters       What one batch has taught the next one overwrites: the weights walk at random.
Mistaken for         The first steps of a small network, and biases that begin at 0.
When to ignore it    While the loss falls all the same.
Causes               lr_too_high, missing_warmup
Sources              K01 (deep-dive §2), K20 (stability-scaling §2); a ratio about 1e-3 is usual (Karpathy,
                     CS231n notes “Ratio of weights:updates”)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves, layers
from diagnose.findings import Finding, Severity
from diagnose.progress import learned
from diagnose.run import Run
from diagnose.signals import LAYER_UPDATE_RATIO, UPDATE_RATIO

USUAL = 1e-3  # Karpathy, CS231n
HUGE = 1e2 * USUAL
AS_LONG = 1.0  # as the weights


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first to the last sampled step of the stretch."""
    signal = run.scalar(UPDATE_RATIO)
    if signal is None or not len(signal.finite):
        return
    ratio = signal.finite
    huge = ratio.values >= HUGE
    held = layers.lasting(huge)
    if held is None and len(ratio) >= layers.MIN_SAMPLES and huge.mean() > layers.MOST_STEPS:
        held = slice(int(np.argmax(huge)), len(huge) - int(np.argmax(huge[::-1])))  # now above, now below: most of it
    if held is None and not np.isfinite(signal.values[-1]) and ratio.values[-1] >= HUGE:
        held = slice(len(ratio) - 1, len(ratio))  # one step of that length was enough to break the run
    if held is None:
        return
    level = float(np.median(ratio.values[held]))
    first, last = int(ratio.steps[held.start]), int(ratio.steps[held.stop - 1])
    fine = learned(run)
    worst = Severity.CRITICAL if level >= AS_LONG else Severity.WARNING
    yield Finding(
        id="huge_updates",
        severity=Severity.INFO if fine else worst,
        confidence=(0.6 + 0.39 * curves.sigmoid(2 * np.log10(level / HUGE) - 0.5)) * (0.7 if fine else 1.0),
        window=(first, last),
        summary=f"A step moves the weights by {level:.2g} of their length, where about {USUAL:g} is usual.",
        evidence={
            "update_ratio": level,
            "usual_update_ratio": USUAL,
            "sampled_steps": held.stop - held.start,
            "from_the_first_step": layers.yes_or_no(held.start == 0),
        },
        layers=_moved(run, first, last),
    )


def _moved(run: Run, first: int, last: int) -> tuple[str, ...]:
    """The layers whose own ratio is huge in the median of the window."""
    signal = layers.sampled(run, LAYER_UPDATE_RATIO)
    if signal is None:
        return ()
    inside = (signal.steps >= first) & (signal.steps <= last)
    if not inside.any():
        return ()
    values = np.where(np.isfinite(signal.values[inside]), signal.values[inside], 0.0)
    names = layers.names(run, values.shape[1])
    return tuple(names[place] for place in np.flatnonzero(np.median(values, axis=0) >= HUGE))
