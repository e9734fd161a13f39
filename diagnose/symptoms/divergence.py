"""Divergence: the training loss leaves the level it had reached and does not come back.

What it looks like   The loss falls, or never gets to; then it climbs, in a few steps or slowly, and ends
                     far above its best level, often above where it began.
How it is told       The rise from the best smoothed level to the last one, against the progress made
                     before (first level minus best), and against the curve's own noise. A run that never
                     made progress diverges where it ends above its first values.
Why it matters       The weights at the end are worse than those of an earlier step.
Mistaken for         `loss_spikes` come back; `nan_loss` ends in a non-finite number; `overfitting` rises
                     in the validation loss alone.
When to ignore it    When the loss changed its meaning on purpose in mid-run (a curriculum, a new term).
Causes               lr_too_high, missing_warmup, missing_clipping, bad_data
Sources              K01 (deep-dive §2), K20 (stability-scaling §2)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves
from diagnose.findings import Finding, Severity
from diagnose.run import Run
from diagnose.signals import TRAIN_LOSS

LOST_PROGRESS = 0.5  # share of the fall that is lost again at the end: sound runs stay under 0.2
NOISE_FACTOR = 4.0  # rises under four standard deviations of the curve's own noise are noise
CLIMB_SHARE = 0.25  # of the rise: where the climb counts as begun


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from where the climb begins to its highest level after."""
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or len(loss.finite) < curves.MIN_POINTS:
        return
    curve = curves.smoothed(curves.reduced(loss))
    first = float(loss.finite.values[0])
    best_at = int(np.argmin(curve.values))
    best, last = float(curve.values[best_at]), curve.last_level
    noise = curve.noise
    rise, fall = last - best, max(first - best, 0.0)
    # Without any progress the first value is the level to compare with.
    needed = max(LOST_PROGRESS * fall, NOISE_FACTOR * noise, 0.02 * abs(first))
    if rise <= needed:
        return
    above_start = last > first + NOISE_FACTOR * noise
    climbing = curve.values[best_at:] > best + CLIMB_SHARE * rise
    onset = best_at + int(np.argmax(climbing))
    peak = best_at + int(np.argmax(curve.values[best_at:]))
    evidence: dict[str, float | str] = {
        "loss_first": first,
        "loss_before": best,
        "loss_after": last,
        "share_of_progress_lost": rise / fall if fall > 0 else float("inf"),
    }
    if best > 0:
        evidence["growth"] = last / best
    yield Finding(
        id="divergence",
        severity=Severity.CRITICAL if above_start or rise > 0.8 * fall else Severity.WARNING,
        confidence=0.5 + 0.49 * curves.sigmoid(2 * (rise / needed - 1.5)),
        window=(int(curve.steps[max(onset - 1, 0)]), int(curve.steps[peak])),
        summary=(
            f"The training loss had reached {best:.3g} at step {curve.steps[best_at]} and climbs to {last:.3g}, "
            f"{'above its first value' if above_start else 'losing most of its progress'} ({first:.3g} at the start)."
        ),
        evidence=evidence,
    )
