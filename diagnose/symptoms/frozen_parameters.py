"""Frozen parameters: layers that are meant to train never move.

What it looks like   On the heat map of update ratios a row is black from the first step to the last, while
                     others move; the layer's parameter norm is a straight line.
How it is told       Layers with trainable parameters whose update ratio is exactly 0, or whose norm is one and
                     the same number, at every sampled step at which the learning rate was not 0. With
                     gradients that arrive there (`layers/grad_norm`): the optimizer leaves them out, or
                     its steps are rounded away: a `warning`, `critical` where nothing moves at all. Without:
                     they are cut off from the loss, a `warning` where they took part in the forward pass
                     (`layers/activation_mean`), `info` where they did not, nothing where dead units explain
                     it. Without gradient norms the two are
                     not told apart. Layers that do not require gradients are frozen on purpose, and no
                     matter, unless they and all others carry weights as an initialiser draws them and a
                     layer behind them trains: nothing learned is kept there. Those of a run in which a group's rate is
                     always 0 are mentioned (`info`).
Why it matters       Part of the model stays as it was initialised, and nothing says so.
Mistaken for         `tiny_updates` move, if little; `vanishing_gradients` and `dead_units` starve layers.
When to ignore it    Training the head alone without `requires_grad_(False)` on the rest: that would save the
                     backward pass as well. Random features and fixed codes that are meant to stay as they
                     were drawn. Weights that something other than the optimizer sets move too,
                     and are not named.
Causes               optimizer_misses_parameters, precision
Sources              K82 (deep-dive §8); SageMaker Debugger's UnchangedTensor rule
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from diagnose import initialization, layers
from diagnose.findings import Finding, Severity
from diagnose.run import Run
from diagnose.signals import LAYER_GRAD_NORM, LAYER_PARAM_NORM, LAYER_UPDATE_RATIO, LAYER_ZERO_FRACTION, LR
from diagnose.symptoms.dead_units import ALL_ZERO

ACTIVATION_MEAN = "layers/activation_mean"
SAME = 1e-7  # of the norm: a float32's rounding


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first to the last sampled step."""
    still = unmoved_layers(run)
    if still is None:
        return
    steps, unmoved = still
    trainable = _trainable(run, len(unmoved))
    frozen = unmoved & trainable
    if not frozen.any():
        untrained = _untrained(run, len(unmoved))
        if untrained:
            yield _frozen_as_drawn(untrained, int(trainable.sum()), steps)
        return
    gradients = _any(run, LAYER_GRAD_NORM, len(unmoved), positive=True)
    ran = _any(run, ACTIVATION_MEAN, len(unmoved), positive=False)
    everything = bool((frozen == trainable).all())
    if gradients is not None and (frozen & gradients).any():
        places, gradient = np.flatnonzero(frozen & gradients), "yes"
        severity = Severity.CRITICAL if everything else Severity.WARNING
        why = "although gradients arrive there"
    elif gradients is not None:
        if _something_is_dead(run):
            return
        took_part = frozen if ran is None else frozen & ran
        places, gradient = np.flatnonzero(took_part if took_part.any() else frozen), "no"
        severity = Severity.WARNING if ran is not None and took_part.any() else Severity.INFO
        why = "and no gradient arrives there" if took_part.any() else "and takes no part in the forward pass"
    else:
        places, gradient, severity, why = np.flatnonzero(frozen), "unknown", Severity.WARNING, "at any sampled step"
    names = tuple(layers.names(run, len(unmoved))[place] for place in places)
    held_still = _a_rate_is_zero(run)
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    yield Finding(
        id="frozen_parameters",
        severity=Severity.INFO if held_still else severity,
        confidence=0.5 if held_still else 0.95 if gradient == "yes" else 0.75,
        window=(int(steps[0]), int(steps[-1])),
        summary=f"Layer {names[0]}{others} never moves, {why}.",
        evidence={
            "frozen_layers": len(names),
            "trainable_layers": int(trainable.sum()),
            "sampled_steps": len(steps),
            "gradient_arrives": gradient,
            "everything_frozen": layers.yes_or_no(everything),
        },
        layers=names,
    )


def _untrained(run: Run, width: int) -> tuple[str, ...]:
    """Layers that want no gradient, lie before one that does, and hold what an initialiser has drawn."""
    described = run.setup.layers
    if len(described) != width or run.setup.config.get("pretrained"):
        return ()
    learning = [place for place, layer in enumerate(described) if layer.trainable and layer.parameters > 0]
    before = [layer for layer in described[: learning[-1]] if not layer.trainable] if learning else []
    held = [layer for layer in before if layer.parameters > 0]
    weights = [layer for layer in held if "Embedding" not in layer.type]  # codes of position are often fixed
    drawn = initialization.all_fresh(weights) and initialization.never_trained(run)
    return tuple(layer.name for layer in held) if drawn else ()


def _frozen_as_drawn(names: tuple[str, ...], trainable: int, steps: NDArray[np.int64]) -> Finding:
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return Finding(
        id="frozen_parameters",
        severity=Severity.WARNING,
        confidence=0.8,
        window=(int(steps[0]), int(steps[-1])),
        summary=f"Layer {names[0]}{others} requires no gradient and keeps its weights as they were first drawn.",
        evidence={
            "frozen_layers": len(names),
            "trainable_layers": trainable,
            "sampled_steps": len(steps),
            "gradient_arrives": "no",
            "everything_frozen": "no",
        },
        layers=names,
    )


def unmoved_layers(run: Run) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """The sampled steps and which layers stood still at all of them; None where that is not known."""
    ratio, norm = layers.sampled(run, LAYER_UPDATE_RATIO), layers.sampled(run, LAYER_PARAM_NORM)
    if ratio is not None:
        steps, values = _with_rate(run, ratio)
        known = np.isfinite(values)
        unmoved = ((values == 0) | ~known).all(axis=0) & known.any(axis=0)  # NaN: all parameters are 0
        if norm is not None and norm.values.shape == ratio.values.shape:
            unmoved = (unmoved | ~known.any(axis=0)) & _same(norm.values)
    elif norm is not None:
        steps, values = _with_rate(run, norm)
        unmoved = _same(norm.values)
    else:
        return None
    return (steps, np.asarray(unmoved)) if len(steps) >= layers.MIN_SAMPLES else None


def _with_rate(run: Run, signal: layers.Sampled) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The rows at whose steps the learning rate, where it was logged, was not 0."""
    rate = run.scalar(LR)
    if rate is None:
        return signal
    at = np.clip(np.searchsorted(rate.steps, signal.steps, side="right") - 1, 0, len(rate) - 1)
    moving = rate.values[at] != 0
    return signal.steps[moving], signal.values[moving]


def _same(norms: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.ptp(norms, axis=0) <= SAME * np.abs(norms[0]))


def _trainable(run: Run, width: int) -> NDArray[np.bool_]:
    described = run.setup.layers
    if len(described) != width:
        return np.ones(width, bool)
    return np.array([layer.trainable and layer.parameters > 0 for layer in described])


def _any(run: Run, name: str, width: int, *, positive: bool) -> NDArray[np.bool_] | None:
    """For each layer whether the signal was ever a number, or above 0; None where it was not logged."""
    signal = layers.sampled(run, name)
    if signal is None or signal.values.shape[1] != width:
        return None
    return np.asarray((signal.values > 0 if positive else np.isfinite(signal.values)).any(axis=0))


def _something_is_dead(run: Run) -> bool:
    """Whether some layer puts out nothing but zeros: what lies in front of it has no gradient, and says nothing new."""
    zeros = layers.sampled(run, LAYER_ZERO_FRACTION)
    return zeros is not None and any(layers.lasting(column >= ALL_ZERO) for column in zeros.values.T)


def _a_rate_is_zero(run: Run) -> bool:
    rates = [run.scalar(name) for name in run.scalars if name.startswith("lr/group")]
    return any(rate is not None and not rate.values.any() for rate in rates)
