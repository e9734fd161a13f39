"""Constant clipping: the gradient limit is not a guard against rare spikes but cuts every step.

What it looks like   The gradient norm is a straight line at the limit; the norm before clipping lies above
                     it from the first step to the last.
How it is told       The share of steps at which the norm before clipping exceeds the norm after it, over
                     the whole run and over its last third: nine of ten or more. How many times too large
                     it is says how much: from ten times on, under SGD, whose step shrinks as much, or where
                     the norm before clipping climbs, a `warning`; else `info`, as where the loss fell and
                     ended at its best, unless SGD's step is cut a hundredfold. Without
                     the norm before clipping, a norm that stays within a thousandth of its highest value
                     shows the same, but not how much is cut.
Why it matters       Only the direction of the gradient is left: the rate that was set is not the one that acts.
Mistaken for         Clipping in the first steps, or now and then, is what clipping is for.
When to ignore it    Adam and its kin divide a constant factor out again. Recipes for recurrent networks clip
                     low on purpose.
Causes               clipping_too_tight where the steps are short, lr_too_high where they are long
Sources              K25, K26 (interdependencies §7)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from diagnose import curves, facts, layers
from diagnose.batch import late_update_ratio
from diagnose.findings import Finding, Severity
from diagnose.progress import learned
from diagnose.run import Run
from diagnose.signals import GRAD_NORM, GRAD_NORM_UNCLIPPED

ALWAYS = 0.9  # of the steps, whole run and last third
CUT = 1e-3  # of the norm: less is rounding
MUCH = 10.0  # times the limit: K25 scales the limit by factors of a rate, which seldom move by more
FAR_TOO_MUCH = 100.0  # times the limit: a loss that falls at a hundredth of the rate would fall faster at the rate
CLIMBED = 3.0  # times the first level of the norm before clipping
LONG, SHORT = 1e-2, 3e-4  # of the weights' norm: 1e-3 is usual (Karpathy), half a decade or one beside it
MIN_STEPS = 20  # fewer may all be the first ones


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first to the last clipped step."""
    norm, unclipped = run.scalar(GRAD_NORM), run.scalar(GRAD_NORM_UNCLIPPED)
    if norm is None:
        return
    if unclipped is None:
        steps, after = norm.finite.steps, norm.finite.values
        before: NDArray[np.float64] | None = None
        cut = np.abs(after - after.max(initial=0)) <= CUT * after.max(initial=0)
    else:
        steps, ours, theirs = np.intersect1d(norm.steps, unclipped.steps, assume_unique=True, return_indices=True)
        after, before = norm.values[ours], unclipped.values[theirs]
        sound = np.isfinite(after) & np.isfinite(before) & (after > 0)
        steps, after, before = steps[sound], after[sound], before[sound]
        cut = before > (1 + CUT) * after
    if len(steps) < MIN_STEPS or after.min() <= 0 or min(cut.mean(), cut[-(len(cut) // 3) :].mean()) < ALWAYS:
        return
    evidence: dict[str, float | str] = {"share_of_steps": float(cut.mean()), "limit": float(np.median(after[cut]))}
    factor = climb = 1.0
    if before is not None:
        factor = float(np.median(before[cut] / after[cut]))
        third = len(before) // 3
        climb = float(np.median(before[-third:]) / np.median(before[:third]))
        evidence |= {"times_too_large": factor, "growth_before_clipping": climb}
    sgd = facts.is_sgd(facts.optimizer_type(run.setup))
    ill = climb >= CLIMBED or (factor >= MUCH and sgd)
    fine = learned(run) and not (factor >= FAR_TOO_MUCH and sgd)
    times = f", {factor:.3g} times over in the median" if before is not None else ""
    yield Finding(
        id="constant_clipping",
        severity=Severity.WARNING if ill and not fine else Severity.INFO,
        confidence=(0.5 + 0.45 * curves.sigmoid(2 * np.log10(factor))) * (1.0 if before is not None else 0.6),
        window=(int(steps[cut][0]), int(steps[cut][-1])),
        summary=f"Clipping cuts the gradient at {cut.mean():.0%} of the steps{times}: the limit sets their length.",
        evidence={
            **evidence,
            "norm_before_clipping_climbs": layers.yes_or_no(climb >= CLIMBED),
            "steps_are": _steps_are(run),
        },
    )


def _steps_are(run: Run) -> str:
    """How far the steps go that the limit leaves: short, usual or long; unknown where that was not logged."""
    ratio = late_update_ratio(run)
    if ratio is None:
        return "unknown"
    return "long" if ratio >= LONG else "short" if ratio <= SHORT else "usual"
