"""Loss-scale collapse: mixed precision halves its loss scale again and again, and skips the steps.

What it looks like   The loss scale comes down a staircase and does not climb back; the count of skipped
                     steps rises with every step of it.
How it is told       Three ways. The scale ends below 1, from above: there it no longer lifts gradients above the
                     smallest numbers of half precision, it pushes them under (`critical`). Below or at 8, the least
                     that is in use, after eight halvings: a `warning`. Or, over the
                     second half of the run, more than one step in twenty was skipped, which is a hundred
                     times as many as a settled scale skips (one in 2000, GradScaler's growth interval):
                     a `warning`. Skips are counted, or read off the halvings where they were not logged.
Why it matters       A skipped step is no step; and a small scale lets small gradients become zero.
Mistaken for         The first steps, in which the scale comes down from its start (2¹⁶) to where it fits; the
                     single skip and halving after each doubling.
When to ignore it    Never in a run that still skips at its end.
Causes               precision, lr_too_high, bad_data
Sources              K35 (stability-scaling §7); Micikevicius et al. 2018
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose.findings import Finding, Severity
from diagnose.run import Run, Series
from diagnose.signals import LOSS_SCALE, SKIPPED_STEPS

USELESS = 1.0  # a scale under it makes gradients smaller
LEAST_IN_USE = 8.0  # Micikevicius et al. 2018 train with scales from 8 to 32 Ki
HALVED = 2.0**8  # from its highest: a scale that was set low from the start has not collapsed
SKIPPED = 0.05  # of the steps of the second half
LEAST_SKIPS = 5  # single ones are ordinary, whatever the share
MIN_STEPS = 20


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from where the last descent begins to the last step."""
    scale, skipped = run.scalar(LOSS_SCALE), run.scalar(SKIPPED_STEPS)
    if scale is not None and len(scale.finite):
        collapsed = _collapsed(scale.finite)
        if collapsed is not None:
            yield collapsed
            return
    counted = _counted(skipped.finite) if skipped is not None else None
    if counted is None and scale is not None:
        counted = _halvings(scale.finite)
    if counted is None or len(counted) < MIN_STEPS:
        return
    half = len(counted) // 2
    steps = int(counted.steps[-1] - counted.steps[half])
    skips = float(counted.values[-1] - counted.values[half])
    if skips < LEAST_SKIPS or skips < SKIPPED * steps:
        return
    rising = counted.steps[half:][np.flatnonzero(np.diff(counted.values[half:]) > 0) + 1]
    yield Finding(
        id="loss_scale_collapse",
        severity=Severity.WARNING,
        confidence=0.8,
        window=(int(rising[0]), int(rising[-1])),
        summary=f"Loss scaling skipped {skips:.0f} of the last {steps} steps for gradients that overflow.",
        evidence={
            "skipped_steps": skips,
            "share_of_steps_skipped": skips / steps,
            **({"loss_scale_last": float(scale.finite.values[-1])} if scale is not None and len(scale.finite) else {}),
            "scale_collapsed": "no",
        },
    )


def _collapsed(scale: Series) -> Finding | None:
    highest, last = float(scale.values.max()), float(scale.values[-1])
    useless = 0 <= last < USELESS < highest
    if not useless and not (last <= LEAST_IN_USE and highest >= HALVED * last > 0):
        return None
    # A scale that falls does so up to the end: the descent begins after the last step on which it was not lower.
    level = np.flatnonzero(np.diff(scale.values) > 0)
    start = int(level[-1]) + 1 if len(level) else 0
    start += int(np.argmax(scale.values[start:] < scale.values[start]))
    first = int(scale.steps[max(start - 1, 0)])
    return Finding(
        id="loss_scale_collapse",
        severity=Severity.CRITICAL if useless else Severity.WARNING,
        confidence=0.97 if useless else 0.8,
        window=(first, int(scale.steps[-1])),
        summary=f"The loss scale falls from {scale.values[max(start - 1, 0)]:.3g} after step {first} to {last:.3g}.",
        evidence={
            "loss_scale_highest": highest,
            "loss_scale_last": last,
            "halvings": float(np.log2(highest / last)) if last > 0 else float("inf"),
            "scale_collapsed": "yes",
        },
    )


def _counted(skipped: Series) -> Series | None:
    return skipped if len(skipped) else None


def _halvings(scale: Series) -> Series | None:
    """The number of times that the scale has come down so far, one for each skipped step."""
    if len(scale) < 2:
        return None
    downs = np.concatenate(([0.0], np.cumsum(np.diff(scale.values) < 0)))
    return Series(scale.steps, downs, scale.wall_times)
