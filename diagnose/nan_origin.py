"""Where numbers first stopped being finite: inputs, forward pass, loss, backward pass or the optimizer's step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from diagnose.run import LayerSeries, Run
from diagnose.signals import (
    GRAD_NORM_UNCLIPPED,
    LAYER_GRAD_NORM,
    LAYER_NONFINITE,
    LAYER_NONFINITE_WEIGHTS,
    NONFINITE_INPUTS,
)

USUAL_ROWS = 3  # a layer non-finite in each of at least so many earlier rows is made that way (a mask of −∞)


class Origin(NamedTuple):
    """Where it began; `layers` is empty where it began in no layer, or none could be named."""

    place: Literal["inputs", "weights", "forward", "loss", "backward", "update", "rank"]
    step: int
    layers: tuple[str, ...]
    sentence: str


def origin_of(run: Run, step: int) -> Origin | None:
    """The origin of a loss that broke at `step` on the rank that wrote the log; None where the log does not tell.

    The earlier step wins, and within one step forward before backward.
    """
    seen = [found for found in (_in_forward(run, step), _in_backward(run, step)) if found is not None]
    origin = min(seen, key=lambda one: one.step, default=None) or _somewhere_forward(run, step)
    if origin is not None and origin.place in {"weights", "update"}:
        return origin
    return _in_inputs(run, origin.step if origin is not None else step) or origin


def origin_on_ranks(run: Run, step: int, ranks: Sequence[str]) -> Origin:
    """The origin of losses that broke at `step` on `ranks` alone, before that of the rank that wrote the log.

    Weights and gradients are the same on all ranks, so that it was their own forward pass: most likely their batch.
    """
    before = _in_backward(run, step)
    if before is not None:
        return before
    who = f"rank {ranks[0]} alone" if len(ranks) == 1 else f"ranks {', '.join(ranks)} alone"
    told = f"It broke on {who}, in the forward pass of step {step}; the average of gradients carried it to the others."
    return Origin("rank", step, (), told)


def _in_forward(run: Run, step: int) -> Origin | None:
    """The first layer, in forward order, whose output holds a non-finite value, in the first of the rows that lead up.

    Where the row of `step` itself has none, the loss broke after the last layer.
    """
    counts = _until(run, LAYER_NONFINITE, step)
    if counts is None:
        return None
    broken = counts.values > 0  # NaN, for a layer that did not run, is not
    before = broken[counts.steps < step]
    if len(before) >= USUAL_ROWS:
        broken = broken & ~before.all(axis=0)
    first = _start_of_last_streak(broken)
    if first is not None:
        return _in_layer(run, int(counts.steps[first]), int(np.argmax(broken[first])))
    latest = counts.values[-1]
    if counts.steps[-1] == step and not (latest > 0).any() and np.isfinite(latest).any():
        told = f"Every layer's output at step {step} is finite: it broke after the last layer, in loss or targets."
        return Origin("loss", step, (), told)
    return None


def _in_layer(run: Run, step: int, place: int) -> Origin:
    """The layer's own forward pass, unless the weights that it ran with were broken already."""
    weights = _until(run, LAYER_NONFINITE_WEIGHTS, step)
    if weights is not None and weights.steps[-1] == step and (weights.values[-1, : place + 1] > 0).any():
        return _before_forward(run, step, weights.values[-1] > 0)
    layer = run.layer_names[place]
    return Origin("forward", step, (layer,), f"It broke in the forward pass of step {step}, in layer {layer}.")


def _before_forward(run: Run, step: int, broken: NDArray[np.bool_]) -> Origin:
    """Weights were broken when `step` began: by the step before, unless there was none."""
    gradients = _until(run, LAYER_GRAD_NORM, step - 1)
    if gradients is None:
        layer = run.layer_names[int(np.argmax(broken))]
        told = f"The weights of layer {layer} were broken before step {step} began, and before the first gradient."
        return Origin("weights", step, (layer,), told)
    layers, name = _behind(run, step - 1, broken)
    if gradients.steps[-1] == step - 1 and np.isfinite(gradients.values[-1]).all():
        told = f"It broke in the optimizer's step {step - 1}, which made weights{name} non-finite of finite gradients."
        return Origin("update", step - 1, layers, told)
    return Origin("backward", step - 1, layers, f"It broke in the backward pass of step {step - 1}{name}.")


def _in_backward(run: Run, step: int) -> Origin | None:
    """Where gradients broke in a step whose loss was still finite.

    Steps that loss scaling skipped came back to finite gradients; only those that lead up to the loss count.
    """
    gradients = _until(run, LAYER_GRAD_NORM, step - 1)
    if gradients is None:
        return None
    broken = ~np.isfinite(gradients.values)
    first = _start_of_last_streak(broken)
    if first is None:
        return None
    at = int(gradients.steps[first])
    layers, name = _behind(run, at, broken[first])
    return Origin("backward", at, layers, f"It broke in the backward pass of step {at}{name}.")


def _behind(run: Run, step: int, broken: NDArray[np.bool_]) -> tuple[tuple[str, ...], str]:
    """The layer whose output's gradient broke first, and its name for a sentence; nothing where that cannot be told.

    A backward pass runs from the last layer to the first and carries what is broken along: it broke at the
    output of the last layer, in the order of the forward pass, that is broken. Clipping by a norm that is
    NaN breaks every gradient; no layer stands out then.
    """
    unclipped = run.scalar(GRAD_NORM_UNCLIPPED)
    if broken.all() and unclipped is not None and np.isnan(unclipped.values[unclipped.steps == step]).any():
        return (), ", and clipping spread it over all layers"
    layer = run.layer_names[int(np.flatnonzero(broken)[-1])]
    return (layer,), f", behind layer {layer}"


def _somewhere_forward(run: Run, step: int) -> Origin | None:
    """Forward, in no layer that could be named: no gradient of an earlier step is broken."""
    if _until(run, LAYER_GRAD_NORM, step) is None:
        return None
    clean = ": the gradients before it are finite" if _until(run, LAYER_GRAD_NORM, step - 1) is not None else ""
    return Origin("forward", step, (), f"It broke in the forward pass of step {step}{clean}.")


def _in_inputs(run: Run, step: int) -> Origin | None:
    """Whether the batch of `step` held non-finite values, unless the model had taken such a batch well before."""
    counts = run.scalar(NONFINITE_INPUTS)
    if counts is None or (counts.values[counts.steps < step] > 0).any():
        return None
    number = counts.values[counts.steps == step]
    if not len(number) or not number[0] > 0:
        return None
    told = f"It began in the model's inputs: {number[0]:,.0f} of their values at step {step} are NaN or infinite."
    return Origin("inputs", step, (), told)


def _until(run: Run, name: str, step: int) -> LayerSeries | None:
    """The rows of a per-layer signal up to `step`; None without any, or where its columns are not the layers."""
    signal = run.per_layer(name)
    if signal is None or signal.values.shape[1] != len(run.layer_names):
        return None
    rows = signal.steps <= step
    return LayerSeries(signal.steps[rows], signal.values[rows]) if rows.any() else None


def _start_of_last_streak(broken: NDArray[np.bool_]) -> int | None:
    """The first of the rows at the end that all hold something broken; None where the last one is sound."""
    rows = [bool(row.any()) for row in broken]
    if not rows[-1]:
        return None
    sound = np.flatnonzero(np.logical_not(rows))
    return int(sound[-1]) + 1 if len(sound) else 0
