"""Noisy gradients: the noise of small batches outweighs the gradient, and the steps follow the noise.

What it looks like   A loss that jumps around one level without getting anywhere, under a gradient whose
                     direction changes with every batch.
How it is told       B_simple = tr(Σ)/‖G‖² is ten times the batch or more, in the median: more than nine
                     tenths of a step's squared gradient are noise. That is so in many sound runs, above all
                     near their end; it is an illness where also the loss has not fallen beyond its own noise,
                     steps are large (an update ratio of 1e-2 or more over the last half: ten times the usual),
                     the loss jumps no less at the end than after the first quarter, and the weights were
                     freshly drawn, so that there was something to learn. Without the noise scale, the scatter
                     of the gradient norm stands in for it: a deviation as large as its median.
Why it matters       Noise averages out over small steps; over large ones it drives the weights about.
Mistaken for         A converged plateau has a large noise scale because no gradient is left, and a lower loss
                     than it began with. `divergence` goes up. Where weight decay shrinks the weights, the
                     ratio grows without any noise, and the loss calms down.
When to ignore it    Objectives without a fixed minimum (two networks against each other).
Causes               batch_too_small, lr_too_high
Sources              K06 (interdependencies §1), K28 (stability-scaling §7); McCandlish et al. 2018; update
                     ratio: Karpathy, CS231n notes
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves, layers
from diagnose.batch import jumps, late_update_ratio
from diagnose.facts import effective_batch_size
from diagnose.findings import Finding, Severity
from diagnose.initialization import freshly_drawn
from diagnose.progress import NOISE_FACTOR, fall
from diagnose.run import Run
from diagnose.signals import GRAD_NORM, GRAD_NORM_UNCLIPPED, NOISE_SCALE, TRAIN_LOSS

TIMES_BATCH = 10.0  # E‖g‖² = ‖G‖²(1 + B_simple/B): ten elevenths are noise then
SCATTER = 1.0  # of the norm's median: what is as large as its mean has no direction
LARGE_STEP = 1e-2  # ten times Karpathy's 1e-3
MIN_STEPS = 50  # fewer steps cannot be expected to have learned


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first to the last step that told of the noise."""
    loss, step = run.scalar(TRAIN_LOSS), late_update_ratio(run)
    if loss is None or step is None:
        return
    if len(loss.finite) < MIN_STEPS or not np.isfinite(loss.values[-1]):
        return
    moves = jumps(run)
    if moves is not None and not moves.last:
        return
    if step < LARGE_STEP or fall(run) >= NOISE_FACTOR or not freshly_drawn(run):
        return
    noise = _noise(run)
    if noise is None:
        return
    window, evidence, told = noise
    yield Finding(
        id="noisy_gradients",
        severity=Severity.WARNING,
        confidence=0.5 + 0.3 * curves.sigmoid(np.log10(step / LARGE_STEP)),
        window=window,
        summary=f"{told}, steps are large, and the loss has not fallen beyond its noise.",
        evidence={**evidence, "update_ratio": step, "fall_of_loss_in_deviations": fall(run)},
    )


def _noise(run: Run) -> tuple[tuple[int, int], dict[str, float | str], str] | None:
    """Window, evidence and a phrase where the gradient is mostly noise."""
    scale, batch = run.scalar(NOISE_SCALE), effective_batch_size(run.setup)
    if scale is not None and batch is not None and len(scale.finite) >= layers.MIN_SAMPLES:
        level = float(np.median(scale.finite.values))
        if level < TIMES_BATCH * batch:
            return None
        window = int(scale.finite.steps[0]), int(scale.finite.steps[-1])
        evidence: dict[str, float | str] = {"noise_scale": level, "batch_size": batch}
        return (
            window,
            evidence,
            f"The gradient's noise would take batches of {level:.0f}, not {batch:.0f}, to average out",
        )
    norm = run.scalar(GRAD_NORM_UNCLIPPED) or run.scalar(GRAD_NORM)
    if norm is None or len(norm.finite) < MIN_STEPS:
        return None
    scatter = curves.noise(norm.finite.values) / max(float(np.median(norm.finite.values)), 1e-300)
    if scatter < SCATTER:
        return None
    window = int(norm.finite.steps[0]), int(norm.finite.steps[-1])
    return window, {"scatter_of_grad_norm": scatter}, "The gradient norm scatters as widely as it is large"
