"""Tiny updates: the steps are so small that the weights hardly leave where they began.

What it looks like   The update ratio ‖Δθ‖/‖θ‖ lies orders of magnitude under 1e-3, and the loss has hardly
                     moved, or still falls when the run ends.
How it is told       The median update ratio over the sampled steps at which the rate was at least a tenth of
                     its highest: under 1e-5, a hundredth of the usual 1e-3. A `warning` where the weights
                     were freshly drawn (their deviation is an initialiser's) and the loss has not come to
                     rest at a lower level; fine-tuning moves weights as little on purpose, and a run that
                     does not describe its initial weights might be one: nothing is said of them.
Why it matters       The budget goes into steps that change nothing.
Mistaken for         `frozen_parameters` do not move at all. A converged run's gradients, and so its updates
                     under SGD, become small by themselves, as do those at the end of a schedule.
When to ignore it    Fine-tuning; the end of a decay.
Causes               lr_too_low
Sources              K02 (deep-dive §2), K11 (interdependencies §4); a ratio about 1e-3 is usual (Karpathy,
                     CS231n notes “Ratio of weights:updates”)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves, layers
from diagnose.findings import Finding, Severity
from diagnose.initialization import freshly_drawn
from diagnose.progress import learned, still_falls
from diagnose.run import Run, Series
from diagnose.signals import LR, UPDATE_RATIO

USUAL = 1e-3  # Karpathy, CS231n
TINY = 1e-2 * USUAL
NEAR_PEAK = 0.1  # of the highest learning rate: below it updates are small by the schedule


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first to the last tiny update near the highest rate."""
    signal = run.scalar(UPDATE_RATIO)
    if signal is None or not freshly_drawn(run):
        return
    ratio = _near_peak(signal.finite, run.scalar(LR))
    if len(ratio) < layers.MIN_SAMPLES:
        return
    level = float(np.median(ratio.values))
    if not 0 < level < TINY or (learned(run) and not still_falls(run)):
        return
    tiny = ratio.steps[ratio.values < TINY]
    yield Finding(
        id="tiny_updates",
        severity=Severity.WARNING,
        confidence=0.5 + 0.45 * curves.sigmoid(np.log10(TINY / level)),
        window=(int(tiny[0]), int(tiny[-1])),
        summary=f"A step moves the weights by {level:.1e} of their length, where about {USUAL:g} is usual.",
        evidence={"update_ratio": level, "sampled_steps": len(ratio), "usual_update_ratio": USUAL},
    )


def _near_peak(ratio: Series, rate: Series | None) -> Series:
    """The part of the ratio at whose steps the learning rate was within a factor of ten of its highest."""
    if rate is None or not len(rate.finite) or not len(ratio):
        return ratio
    known = rate.finite
    at = np.clip(np.searchsorted(known.steps, ratio.steps, side="right") - 1, 0, len(known) - 1)
    near = known.values[at] >= NEAR_PEAK * known.values.max()
    return Series(ratio.steps[near], ratio.values[near], ratio.wall_times[near])
