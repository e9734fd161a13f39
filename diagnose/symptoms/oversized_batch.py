"""Oversized batch: the batch is far larger than the noise of its gradient rewards.

What it looks like   The gradient noise scale lies far under the batch size from early on to the end.
How it is told       B_simple = tr(Σ)/‖G‖² in samples against the batch size of the config, times the micro-
                     batches where they are told. A batch of B takes 1 + B_simple/B times the fewest steps
                     possible; where B_simple is under a tenth of it for nine of ten estimates after the
                     first third, a tenth of the batch would need at most twice the steps, for a fifth of the
                     samples. `warning` where the validation gap shows that it costs quality too, else `info`:
                     fast hardware may make the waste worthwhile. Where the batch is the whole data set there
                     is no noise to measure; it is told where the run took fewer than 1,000 steps and its loss,
                     smooth from value to value, still fell in the last third, to a tenth of its level below the
                     middle one but not to next to nothing: batches of 256 would have taken four steps or more
                     for each of these. `warning` where that is a tenth of the run's fall, or the run took fewer than
                     100 steps and the validation loss fell by a tenth of its level in the last third; else
                     little shows that there was more to gain: `info`.
                     Batches of up to 256 samples are never too large, and a data set of fewer than four of
                     them may be learnt at one go.
Why it matters       Most of the computation of each step tells what was known already; and large batches
                     without noise tend to end in sharp minima.
Mistaken for         In the first steps the noise scale is small in every run. At high rates it is estimated
                     too large from consecutive steps, never too small. A run that is merely short
                     (`undertrained`) has noise from batch to batch.
When to ignore it    Where the time to a result matters more than its cost; methods that need the exact
                     gradient (L-BFGS).
Causes               batch_too_large
Sources              K14 (deep-dive §3, tune-like-a-champ), K13 (deep-dive §3), K28 (stability-scaling §7);
                     McCandlish et al. 2018, equations 2.7 and 2.9
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves
from diagnose.facts import effective_batch_size
from diagnose.findings import Finding, Severity
from diagnose.progress import start, still_falls
from diagnose.run import Run, Series
from diagnose.signals import NOISE_SCALE, TRAIN_LOSS, VALIDATION_LOSS

FAR_BELOW = 0.1  # of the batch: a step less than 1.1 times as good as a step can be
NEARLY_ALL = 0.9  # of the estimates after the first third
MIN_ESTIMATES = 10  # each averages up to 20 pairs
USUAL_BATCH = 256  # samples, the largest of K13's usual starts
GAP = 0.5  # of the fall of the training loss: as in `sharp_minimum`
FEW_STEPS = 1000  # K13's usual batches take more for all but the smallest tasks; the whole data set takes an epoch each
VERY_FEW = 100  # steps: ten times as many as momentum of 0.9 remembers
SEVERAL_BATCHES = 4  # usual ones in the data set: with fewer, the whole of it hardly costs more than one
STILL_FALLS = 0.1  # of the level or of the run's fall, from the middle third to the last level
SMOOTH = 0.05  # of that: the noise from one value to the next
NOTHING_LEFT = 0.01  # of the first loss: what is lower has been learnt


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first to the last estimate that is far below the batch."""
    batch, samples = effective_batch_size(run.setup), run.setup.config_number("dataset_size")
    if batch is None or batch <= USUAL_BATCH:
        return
    if samples is not None and batch >= samples > 0:
        yield from _whole_data_set(run, samples)
    else:
        yield from _far_above_noise(run, batch)


def _far_above_noise(run: Run, batch: float) -> Iterator[Finding]:
    noise = run.scalar(NOISE_SCALE)
    if noise is None:
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


def _whole_data_set(run: Run, samples: float) -> Iterator[Finding]:
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or samples < SEVERAL_BATCHES * USUAL_BATCH or run.length >= FEW_STEPS:
        return
    if not still_falls(run) or not np.isfinite(loss.values[-1]):
        return
    first, last, fallen = start(loss), curves.reduced(loss).last_level, _late_fall(loss)
    third = np.array_split(loss.finite.values, 3)[-1]
    if fallen < STILL_FALLS * min(abs(last + fallen), first - last) or curves.step_noise(third) > SMOOTH * fallen:
        return
    if 0 <= last < NOTHING_LEFT * first:
        return
    validation = run.scalar(VALIDATION_LOSS)
    gains = fallen >= STILL_FALLS * (first - last)
    if validation is not None and len(validation.finite) >= curves.MIN_POINTS and run.length < VERY_FEW:
        late = np.array_split(validation.finite.values, 3)[-1]
        gains = gains or bool(late[0] - late[-1] >= STILL_FALLS * abs(late[-1]))
    steps = loss.finite.steps
    yield Finding(
        id="oversized_batch",
        severity=Severity.WARNING if gains else Severity.INFO,
        confidence=0.8 if gains else 0.6,
        window=(int(steps[0]), int(steps[-1])),
        summary=(
            f"Each step takes all {samples:.0f} samples: an epoch gives one step, and after {run.length} of them "
            "the loss still falls."
        ),
        evidence={"batch_size": samples, "steps": run.length, "fall_since_middle_third": fallen, "loss_last": last},
    )


def _late_fall(series: Series) -> float:
    """From the median of the middle third to the last level."""
    return float(np.median(np.array_split(series.finite.values, 3)[1])) - curves.reduced(series).last_level


def _gap(run: Run) -> float | None:
    """By how much the validation loss ends above the training loss, in falls of the latter."""
    train, validation = run.scalar(TRAIN_LOSS), run.scalar(VALIDATION_LOSS)
    if train is None or validation is None or min(len(train.finite), len(validation.finite)) < curves.MIN_POINTS:
        return None
    last = curves.reduced(train).last_level
    fall = start(train) - last
    return (curves.reduced(validation).last_level - last) / fall if fall > 0 else None
