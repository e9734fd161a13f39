"""Oversized batch: the batch is far larger than the noise of its gradient rewards.

What it looks like   The gradient noise scale lies far under the batch size from early on to the end.
How it is told       B_simple = tr(Σ)/‖G‖² in samples against the batch size of the config, times the micro-
                     batches where they are told. A batch of B takes 1 + B_simple/B times the fewest steps
                     possible; where B_simple is under a tenth of it for nine of ten estimates after the
                     first third, a tenth of the batch would need at most twice the steps, for a fifth of the
                     samples. `warning` where the validation gap shows that it costs quality too, else `info`:
                     fast hardware may make the waste worthwhile. Under 256 samples, or where the batch is the
                     whole data set, nothing is said.
Why it matters       Most of the computation of each step tells what was known already; and large batches
                     without noise tend to end in sharp minima.
Mistaken for         In the first steps the noise scale is small in every run. At high rates it is estimated
                     too large from consecutive steps, never too small.
When to ignore it    Where the time to a result matters more than its cost.
Causes               batch_too_large
Sources              K14 (deep-dive §3, tune-like-a-champ), K13 (deep-dive §3), K28 (stability-scaling §7);
                     McCandlish et al. 2018, equations 2.7 and 2.9
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves
from diagnose.batch import effective_batch
from diagnose.findings import Finding, Severity
from diagnose.progress import start
from diagnose.run import Run
from diagnose.signals import NOISE_SCALE, TRAIN_LOSS, VALIDATION_LOSS

FAR_BELOW = 0.1  # of the batch: a step less than 1.1 times as good as a step can be
NEARLY_ALL = 0.9  # of the estimates after the first third
MIN_ESTIMATES = 10  # each averages up to 20 pairs
USUAL_BATCH = 256  # samples, the largest of K13's usual starts
GAP = 0.5  # of the fall of the training loss: as in `sharp_minimum`


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first to the last estimate that is far below the batch."""
    noise, batch = run.scalar(NOISE_SCALE), effective_batch(run)
    samples = run.setup.config_number("dataset_size")
    if noise is None or batch is None or batch <= USUAL_BATCH or (samples is not None and batch >= samples):
        return
    sound = noise.finite
    third = len(sound) // 3
    steps, late = sound.steps[third:], sound.values[third:]
    if len(late) < MIN_ESTIMATES or np.mean((late > 0) & (late < FAR_BELOW * batch)) < NEARLY_ALL:
        return
    level = float(np.median(late))
    below = steps[late < FAR_BELOW * batch]
    gap = _gap(run)
    yield Finding(
        id="oversized_batch",
        severity=Severity.WARNING if gap is not None and gap >= GAP else Severity.INFO,
        confidence=0.5 + 0.4 * curves.sigmoid(2 * np.log10(FAR_BELOW * batch / level)),
        window=(int(below[0]), int(below[-1])),
        summary=f"A batch holds {batch:.0f} samples, where the noise of the gradient rewards about {level:.0f}.",
        evidence={
            "noise_scale": level,
            "batch_size": batch,
            "estimates": len(late),
            **({"gap_of_fall": gap} if gap is not None else {}),
        },
    )


def _gap(run: Run) -> float | None:
    """By how much the validation loss ends above the training loss, in falls of the latter."""
    train, validation = run.scalar(TRAIN_LOSS), run.scalar(VALIDATION_LOSS)
    if train is None or validation is None or min(len(train.finite), len(validation.finite)) < curves.MIN_POINTS:
        return None
    last = curves.reduced(train).last_level
    fall = start(train) - last
    return (curves.reduced(validation).last_level - last) / fall if fall > 0 else None
