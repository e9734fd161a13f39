"""Dead units: after its activation a layer puts out nothing but zeros.

What it looks like   On the heat map of zero shares a row turns full and stays so; often all at once, after
                     a large step, and the layers in front of it lose their gradient.
How it is told       The share of exact zeros after each layer's activation (`layers/zero_fraction`), only
                     where that activation has exact zeros: ReLU and its kin, or a function of unknown
                     name; GELU, sigmoid and tanh have none. A layer is dead where practically all is zero
                     up to the end. Where the share jumps from one level to another and stays, the share
                     of units that must have died follows, if the others are as often zero as before;
                     that half of them died is a `warning`, unless the loss still ended at its best with
                     more than a tenth of them alive; at a rate far above the usual range the first tenth
                     of the run is no place to lose them either way.
                     Without the layers' description every layer with such a share is looked at.
Why it matters       A ReLU that is zero for every sample has no gradient: it never comes back.
Mistaken for         Sparse units are zero for most samples and alive: 90 % of zeros and more, reached
                     gradually, are common in large sound networks. `saturated_units` lie at a flat end
                     that is not zero; `frozen_parameters` do not move for another reason.
When to ignore it    A branch that is closed on purpose.
Causes               lr_too_high, bad_initialization, unnormalized_inputs
Sources              K01 (deep-dive §2), K60 (interdependencies §3); half of a layer's units is the threshold
                     of SageMaker Debugger's DeadRelu rule; gradual sparsity: Li et al. 2023 (lazy neurons)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from diagnose import layers
from diagnose.findings import Finding, Severity
from diagnose.progress import learned
from diagnose.run import Run
from diagnose.setup_rules.learning_rate import lr_outside_usual_range
from diagnose.signals import LAYER_ZERO_FRACTION

ALL_ZERO = 0.999  # of the values looked at: what is left is too little to carry a signal
DIED = 0.5  # of a layer's units: SageMaker Debugger's DeadRelu
NEARLY_ALL = 0.9  # of a layer's units, at once: what is left decides what the model can still learn
BESIDE = layers.MIN_SAMPLES  # sampled steps on either side of a jump, whose medians are compared
NOISE_FACTOR = 4.0  # deviations of a sample's noise: a smaller jump of medians of five comes by chance
EARLY = 0.1  # of the run: where a rate that is too high does its harm (K21)
HELD = 0.9  # of the jump is still there at the end
ZEROING = ("", "ReLU", "ReLU6", "Hardswish", "Hardsigmoid")  # "": a function, whose name is not known


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first to the last sampled step of the dead stretch."""
    signal = layers.sampled(run, LAYER_ZERO_FRACTION)
    if signal is None:
        return
    zeros = np.where((signal.values >= 0) & (signal.values <= 1), signal.values, np.nan)
    if len(run.setup.layers) == zeros.shape[1]:
        zeros[:, [layer.activation not in ZEROING for layer in run.setup.layers]] = np.nan
    dead = [place for place in range(zeros.shape[1]) if layers.lasting(zeros[:, place] >= ALL_ZERO)]
    names = layers.names(run, zeros.shape[1])
    if dead:
        yield _all_dead(run, signal, zeros[:, dead], tuple(names[place] for place in dead))
        return
    at, share = _jumps(zeros, fresh=run.start == 0)
    died = np.flatnonzero(share >= DIED)
    if len(died):
        worst = died[np.argmax(share[died])]
        yield _half_dead(run, signal, int(at[worst]), float(share[worst]), tuple(names[place] for place in died))


def _all_dead(run: Run, signal: layers.Sampled, zeros: NDArray[np.float64], names: tuple[str, ...]) -> Finding:
    held = layers.stretch(np.asarray((zeros >= ALL_ZERO).any(axis=1)))
    held = slice(_dying_since(zeros, held.start), held.stop)
    first, last = int(signal.steps[held.start]), int(signal.steps[held.stop - 1])
    fine = learned(run)
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return Finding(
        id="dead_units",
        severity=Severity.WARNING if fine else Severity.CRITICAL,
        confidence=0.8 if fine else 0.95,
        window=(first, last),
        summary=f"After its activation layer {names[0]}{others} puts out nothing but zeros; it began at step {first}.",
        evidence={
            "zero_fraction": float(np.nanmedian(zeros[held])),
            "dead_layers": len(names),
            "sampled_steps": held.stop - held.start,
            "from_the_first_step": layers.yes_or_no(held.start == 0),
        },
        layers=names,
    )


def _dying_since(zeros: NDArray[np.float64], dead: int) -> int:
    """The sample from which on, up to `dead`, half of the units that were alive at first put out only zeros.

    The last units of a layer often die well after what killed the others.
    """
    alive = 1 - np.median(np.nan_to_num(zeros[:BESIDE], nan=0.0), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        dying = ((zeros[:dead] - (1 - alive)) / alive >= DIED).any(axis=1)
    sound = np.flatnonzero(~dying)
    return int(sound[-1]) + 1 if len(sound) else 0


def _half_dead(run: Run, signal: layers.Sampled, at: int, share: float, names: tuple[str, ...]) -> Finding:
    early = int(signal.steps[at]) - run.start <= EARLY * run.length
    fine = learned(run) and share < NEARLY_ALL and not (early and _rate_is_far_above(run))
    return Finding(
        id="dead_units",
        severity=Severity.INFO if fine else Severity.WARNING,
        confidence=0.4 if fine else 0.6,
        window=(int(signal.steps[at]), int(signal.steps[-1])),
        summary=(
            f"The zeros after layer {names[0]} jump at step {signal.steps[at]} and stay: "
            f"about {share:.0%} of its units seem to have died."
        ),
        evidence={
            "share_of_units_died": share,
            "dead_layers": len(names),
            "sampled_steps": len(signal.steps),
            "from_the_first_step": "no",
        },
        layers=names,
    )


def _rate_is_far_above(run: Run) -> bool:
    """Whether the rate is one that usually kills units: what it left alive may still learn, and less."""
    rate = lr_outside_usual_range(run)
    return rate is not None and rate.evidence["side"] == "above"


def _jumps(zeros: NDArray[np.float64], *, fresh: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each layer the first sample after its greatest lasting jump, and the share of units that it took.

    With a share s of zeros before and z after, d = (z − s) / (1 − s) of the units have died. Where the weights are
    `fresh` at the first sample, its share is no matter of chance, and stands for a level of its own.
    """
    if fresh:
        told = _jumps(np.concatenate([np.repeat(zeros[:1], BESIDE - 1, axis=0), zeros]), fresh=False)
        return np.maximum(told[0] - (BESIDE - 1), 0), told[1]
    rows, width = zeros.shape
    if rows < 3 * BESIDE:
        return np.zeros(width, int), np.zeros(width)
    levels = np.median(np.lib.stride_tricks.sliding_window_view(zeros, BESIDE, axis=0), axis=-1)
    before, after = levels[:-BESIDE], levels[BESIDE:]
    rise = np.where(np.isfinite(after - before), after - before, 0.0)
    at = np.argmax(rise, axis=0)
    columns = np.arange(width)
    start, jump, end = before[at, columns], rise[at, columns], levels[-1]
    noise = 1.4826 / np.sqrt(2) * np.median(np.abs(np.nan_to_num(np.diff(zeros, axis=0), nan=0.0)), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where((end - start >= HELD * jump) & (jump > NOISE_FACTOR * noise), jump / (1 - start), 0.0)
    # Medians place a jump to within their width: its steepest step lies there.
    steps = np.nan_to_num(np.diff(zeros, axis=0), nan=0.0)
    around = np.arange(-BESIDE, BESIDE)[:, None] + at + BESIDE - 1
    around = np.clip(around, 0, len(steps) - 1)
    steepest = around[np.argmax(np.take_along_axis(steps, around, axis=0), axis=0), columns]
    return steepest + 1, np.nan_to_num(share, nan=0.0, posinf=0.0)
