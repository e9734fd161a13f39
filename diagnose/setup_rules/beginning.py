"""Rules about what the first steps tell of the set-up: the inputs' scale, and gradients that nobody clears."""

from __future__ import annotations

from math import isfinite, sqrt

import numpy as np

from diagnose import epochs
from diagnose.findings import Finding
from diagnose.run import Run, Series
from diagnose.setup_rules import breach
from diagnose.setup_rules.initialization import fans_known
from diagnose.signals import GRAD_NORM, GRAD_NORM_UNCLIPPED, LAYER_ACTIVATION_VARIANCE, TRAIN_LOSS

__all__ = ["gradients_add_up", "inputs_far_from_unit_scale", "loss_follows_the_data_order"]

FAR = 30.0  # standard deviations: raw pixels from 0 to 255 have 50 to 80, standardised features 1
RAW = 150.0  # beyond what pixels have: nothing is left to weigh such inputs against
EVERY = 2  # steps from one value to the next, at the most
FIRST = 9  # steps: by then sums of gradients tell themselves apart
RISING = 0.85  # of the first steps: sums grow at nearly each of them
LEAST_SUM = 3.0  # times the first norm: nine gradients that agree in parts (at random they give √9)
INERT_UNTIL, LEAST_INERT = 30, 10.0  # steps, and times the first norm
INERT, SCATTERS = 0.1, 4.0  # relative change of the norm at a step, and how many times that the loss's
MOST_GROWTH = 4.0  # times over the second half of them: sums grow like the count, blow-ups like powers


def inputs_far_from_unit_scale(run: Run) -> Finding | None:
    """Inputs far from unit scale: the first layer's outputs spread as inputs of thirty deviations make them.

    Initialisations keep the variance of inputs of about one (LeCun et al. 1998, "Efficient BackProp"). A first
    layer multiplies it by fan_in·std²; what its first outputs show beyond that is the inputs' own. Where the
    weights are larger than He's, He's are counted: they may have been thrown by the first step already.
    Source: K60 (interdependencies §3), K84 (tune-like-a-champ "Key Takeaways").
    """
    variance = run.per_layer(LAYER_ACTIVATION_VARIANCE)
    if variance is None or not len(variance) or run.start > 0 or not run.setup.layers:
        return None
    first = run.setup.layers[0]
    if not fans_known(first) or variance.values.shape[1] != len(run.setup.layers) or first.init["weight_std"] <= 0:
        return None
    gain, seen = min(first.init["fan_in"] * first.init["weight_std"] ** 2, 2.0), float(variance.values[0, 0])
    scale = sqrt(seen / gain) if gain > 0 and isfinite(seen) and seen >= 0 else 0.0
    if not FAR <= scale < float("inf") or first.init["weight_std"] * sqrt(first.init["fan_in"]) < 1e-3:
        return None
    return breach(
        "inputs_far_from_unit_scale",
        run,
        f"The first layer's outputs spread as if its inputs had a standard deviation of {scale:.3g}: 1 is wanted.",
        confidence=0.8,
        layers=(first.name,),
        input_scale=scale,
        beyond_raw_pixels="yes" if scale >= RAW else "no",
    )


def gradients_add_up(run: Run) -> Finding | None:
    """Gradients add up: from the first step on the gradient's norm grows at each step, like a sum of gradients.

    Torch adds to `.grad` until somebody clears it. Gradients of single batches scatter from step to step about
    one level; a sum grows at nearly every one. One that blows up grows by powers, and is not named, unless its norm
    hardly changes from step to step while the loss of the same batches scatters widely.
    Source: K62 (interdependencies §7), K82 (deep-dive §8).
    """
    norm = run.scalar(GRAD_NORM_UNCLIPPED) or run.scalar(GRAD_NORM)
    if norm is None or run.start > 0 or len(norm) < FIRST or not np.isfinite(norm.values[:FIRST]).all():
        return None
    if int(norm.steps[FIRST - 1]) > EVERY * FIRST or len(norm) < 2 * FIRST:  # values of which each is a step, or nearly
        return None
    first = norm.values[:FIRST]
    if float(np.median(norm.values[FIRST : 3 * FIRST])) < first[-1]:  # a sum that nobody clears does not fall back
        return None
    rising, half = float((np.diff(first) > 0).mean()), first[FIRST // 2]
    adds_up = rising >= RISING and LEAST_SUM * first[0] <= first[-1] <= MOST_GROWTH * half
    if first[0] <= 0 or not (adds_up or _inert(norm, run.scalar(TRAIN_LOSS))):
        return None
    steps = FIRST if adds_up else INERT_UNTIL
    growth = float(norm.values[steps - 1] / first[0])
    how = "at nearly each of them" if adds_up else "while it hardly moves from one to the next, as the loss does"
    return breach(
        "gradients_add_up",
        run,
        f"The gradient's norm grows {growth:.3g}-fold over the first {steps} steps, {how}: like a sum of gradients that"
        " nobody clears.",
        confidence=0.8,
        growth=growth,
    )


def _inert(norm: Series, loss: Series | None) -> bool:
    """Whether the norm has grown, and moves far less from step to step than the loss of the same batches does."""
    early = norm.values[:INERT_UNTIL]
    if (
        loss is None
        or min(len(loss), len(norm)) < INERT_UNTIL
        or early[-1] < LEAST_INERT * early[0]
        or early.min() <= 0
    ):
        return False
    stretches = [series.values[FIRST:INERT_UNTIL] for series in (norm, loss)]
    if not all(np.isfinite(values).all() and (values > 0).all() for values in stretches):
        return False
    moves = [float(np.median(np.abs(np.diff(values) / values[1:]))) for values in stretches]
    return moves[0] < INERT and moves[0] * SCATTERS < moves[1]


def loss_follows_the_data_order(run: Run) -> Finding | None:
    """Loss follows the data's order: the same steps of every epoch have high losses, and low ones.

    Batches that are drawn anew in each epoch have nothing to do with those an epoch before; a fixed order
    comes round and round (Spearman's correlation). Nor have they to do with the batch before; of data sorted by class
    one goes on where the other ended, and the loss leaps at the next class (turning points).
    Source: K84 (tune-like-a-champ "Key Takeaways").
    """
    if epochs.repeats(run):
        how = "The loss of a step goes with that of the same step an epoch later: the data come in the same order."
    elif epochs.comes_in_blocks(run):
        how = "The loss falls for some steps and leaps up again, at the same steps of each epoch: the data come sorted."
    else:
        return None
    return breach("loss_follows_the_data_order", run, how, confidence=0.8)
