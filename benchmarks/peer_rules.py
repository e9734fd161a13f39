"""Published rules of others for the same question, written anew from their documents, default thresholds throughout.

A rule answers whether it fires on a run, or None where the log does not hold what it needs: such runs are not
counted. `claims` are our symptoms that it professes to know; naming any of them is right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diagnose.run import Run

Fires = Callable[[Run], bool | None]
Numbers = NDArray[np.floating]


@dataclass(frozen=True)
class PeerRule:
    """One rule of one tool; `lacks` says what of it our logs cannot tell."""

    tool: str
    name: str
    claims: tuple[str, ...]
    fires: Fires
    lacks: str = ""


def autotrainer_nan_loss(run: Run) -> bool | None:
    """A loss that is NaN, infinite or at least 1e3 (AutoTrainer, Zhang et al., ICSE 2021; its code takes 1e5)."""
    losses = _losses(run)
    return None if losses is None else bool((~np.isfinite(losses) | (losses >= 1e3)).any())


def autotrainer_oscillating(run: Run) -> bool | None:
    """The n-th peak of accuracy lies 0.05 above the n-th trough, at a quarter of the epochs or more (AutoTrainer)."""
    accuracy = _accuracy(run)
    if accuracy is None or len(accuracy) < 3:
        return None
    before, here, after = accuracy[:-2], accuracy[1:-1], accuracy[2:]
    peaks = here[(here >= before) & (here >= after)]
    troughs = here[(here <= before) & (here <= after)]
    pairs = min(len(peaks), len(troughs))
    return bool((peaks[:pairs] - troughs[:pairs] >= 0.05).sum() >= 0.25 * len(accuracy))


def autotrainer_vanishing(run: Run) -> bool | None:
    """First layer's gradient under 1e-3 of the last's, and under 1e-4 itself, while accuracy is low (AutoTrainer)."""
    ends = _first_and_last_gradients(run)
    if ends is None:
        return None
    first, last = ends
    return not _learned(run) and bool(((first < 1e-3 * last) & (first < 1e-4)).any())


def autotrainer_exploding(run: Run) -> bool | None:
    """First layer's gradient over 70 times the last's, or not finite, while accuracy is low (AutoTrainer)."""
    ends = _first_and_last_gradients(run)
    if ends is None:
        return None
    first, last = ends
    return not _learned(run) and bool((~np.isfinite(first) | (first > 70 * last)).any())


def autotrainer_slow_convergence(run: Run) -> bool | None:
    """No step of accuracy between two epochs exceeds 0.01 (AutoTrainer)."""
    accuracy = _accuracy(run)
    return None if accuracy is None or len(accuracy) < 2 else bool(np.diff(accuracy).max() < 0.01)


def sagemaker_loss_not_decreasing(run: Run) -> bool | None:
    """Any ten steps over which the loss falls by less than 0.1 % (SageMaker Debugger, LossNotDecreasing).

    num_steps=10, diff_percent=0.1: the loss of a step is compared with one at least ten steps before, then again
    ten steps later. The documents are those at docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html,
    for the rules below as well.
    """
    series = run.scalar("loss/train")
    if series is None or len(series) < 2:
        return None
    at = 0
    for here in range(1, len(series)):
        if series.steps[here] - series.steps[at] < 10:
            continue
        before, now = series.values[at], series.values[here]
        if not before - now >= 0.001 * abs(before):
            return True
        at = here
    return False


def sagemaker_overfit(run: Run) -> bool | None:
    """(Validation − training) / training loss above 0.1, once (SageMaker, Overfit: ratio_threshold=0.1, patience=1).

    Its documentation speaks of mean losses: the training loss's mean since the evaluation before stands for that.
    """
    train, validation = run.scalar("loss/train"), run.scalar("loss/validation")
    if train is None or validation is None:
        return None
    since = np.r_[-np.inf, validation.steps[:-1]]
    beside = np.array([
        np.mean(train.values[(train.steps > first) & (train.steps <= last)])
        if ((train.steps > first) & (train.steps <= last)).any() else np.nan
        for first, last in zip(since, validation.steps, strict=True)
    ])  # fmt: skip
    with np.errstate(all="ignore"):
        return bool(((validation.values - beside) / beside > 0.1).any())


def sagemaker_vanishing(run: Run) -> bool | None:
    """Mean absolute gradient under 1e-7 in any layer (SageMaker, VanishingGradient: threshold=1e-7).

    The log holds 2-norms: the root mean square, ‖g‖/√n, stands for the mean of absolutes and is never below it.
    """
    signal = run.per_layer("layers/grad_norm")
    if signal is None:
        return None
    size = np.array([layer.parameters if layer.trainable else 0 for layer in run.setup.layers], float)
    if len(size) != signal.values.shape[1] or not size.any():
        return None
    return bool((signal.values[:, size > 0] / np.sqrt(size[size > 0]) < 1e-7).any())


def sagemaker_exploding_tensor(run: Run) -> bool | None:
    """NaN or infinite anywhere among losses, gradients and outputs (SageMaker, ExplodingTensor: only_nan=False)."""
    losses = _losses(run)
    if losses is None:
        return None
    found = [losses]
    if (norm := run.scalar("grad_norm")) is not None:
        found.append(norm.values)
    outputs = run.per_layer("layers/nonfinite")
    in_outputs = outputs is not None and bool((np.nan_to_num(outputs.values, nan=0) > 0).any())
    return in_outputs or any(bool((~np.isfinite(values)).any()) for values in found)


def sagemaker_large_updates(run: Run) -> bool | None:
    """Updates above 10 times the weights in any layer (SageMaker, WeightUpdateRatio: large_threshold=10)."""
    ratios = _update_ratios(run)
    return None if ratios is None else bool((ratios > 10).any())


def sagemaker_small_updates(run: Run) -> bool | None:
    """Updates under 1e-8 of the weights in any layer (SageMaker, WeightUpdateRatio: small_threshold=1e-8)."""
    ratios = _update_ratios(run)
    return None if ratios is None else bool((ratios < 1e-8).any())


def sagemaker_poor_initialization(run: Run) -> bool | None:
    """Weights' variance of the widest layer above 10 times the narrowest's (SageMaker, PoorWeightInitialization).

    threshold=10; its second condition, the range of gradients under 1e-3, needs gradients one by one.
    """
    spreads = [float(layer.init["weight_std"]) ** 2 for layer in run.setup.layers if "weight_std" in layer.init]
    return max(spreads) > 10 * min(spreads) if len(spreads) > 1 else None


def lightning_not_finite(run: Run) -> bool | None:
    """The monitored validation loss is NaN or infinite (Lightning, EarlyStopping(check_finite=True))."""
    series = run.scalar("loss/validation")
    return None if series is None else bool((~np.isfinite(series.values)).any())


def lightning_patience(run: Run) -> bool | None:
    """Three checks in a row without a new best validation loss (Lightning, EarlyStopping(patience=3, min_delta=0))."""
    series = run.scalar("loss/validation")
    if series is None:
        return None
    best, waited = np.inf, 0
    for value in series.values:
        best, waited = (value, 0) if value < best else (best, waited + 1)
        if waited >= 3:
            return True
    return False


def not_held(_: Run) -> None:
    """The rule needs what our logs do not hold."""


RULES = (
    PeerRule("AutoTrainer", "explode: loss", ("nan_loss", "divergence"), autotrainer_nan_loss),
    PeerRule("AutoTrainer", "oscillating", ("oscillation",), autotrainer_oscillating, "runs without accuracy"),
    PeerRule("AutoTrainer", "vanishing gradient", ("vanishing_gradients",), autotrainer_vanishing),
    PeerRule("AutoTrainer", "exploding gradient", ("exploding_gradients",), autotrainer_exploding),
    PeerRule("AutoTrainer", "dying ReLU", ("dead_units",), not_held, "share of zeros among gradients"),
    PeerRule(
        "AutoTrainer",
        "slow convergence",
        ("slow_descent", "no_learning"),
        autotrainer_slow_convergence,
        "runs without accuracy",
    ),
    PeerRule(
        "SageMaker Debugger",
        "LossNotDecreasing",
        ("no_learning", "plateau", "slow_descent", "divergence"),
        sagemaker_loss_not_decreasing,
    ),
    PeerRule("SageMaker Debugger", "Overfit", ("overfitting",), sagemaker_overfit),
    PeerRule("SageMaker Debugger", "VanishingGradient", ("vanishing_gradients",), sagemaker_vanishing),
    PeerRule("SageMaker Debugger", "ExplodingTensor", ("nan_loss",), sagemaker_exploding_tensor),
    PeerRule("SageMaker Debugger", "DeadRelu", ("dead_units",), not_held, "each unit's activity"),
    PeerRule("SageMaker Debugger", "SaturatedActivation", ("saturated_units",), not_held, "each unit's input"),
    PeerRule("SageMaker Debugger", "WeightUpdateRatio: large", ("huge_updates",), sagemaker_large_updates),
    PeerRule(
        "SageMaker Debugger", "WeightUpdateRatio: small", ("tiny_updates", "frozen_parameters"), sagemaker_small_updates
    ),
    PeerRule(
        "SageMaker Debugger",
        "PoorWeightInitialization",
        ("vanishing_activations", "exploding_activations", "vanishing_gradients", "exploding_gradients"),
        sagemaker_poor_initialization,
        "range of gradients (second condition)",
    ),
    PeerRule("Lightning EarlyStopping", "check_finite", ("nan_loss",), lightning_not_finite),
    PeerRule("Lightning EarlyStopping", "patience 3", ("overfitting", "validation_stall"), lightning_patience),
)


def _losses(run: Run) -> Numbers | None:
    found = [series.values for name in ("loss/train", "loss/validation") if (series := run.scalar(name)) is not None]
    return np.concatenate(found) if found else None


def _accuracy(run: Run) -> Numbers | None:
    series = run.scalar("accuracy/validation")
    return None if series is None else series.values


def _learned(run: Run) -> bool:
    """Whether accuracy ever reached 0.7, from where on AutoTrainer reports no gradient; never without an accuracy."""
    accuracy = _accuracy(run)
    return accuracy is not None and bool(accuracy.max() >= 0.7)


def _first_and_last_gradients(run: Run) -> tuple[Numbers, Numbers] | None:
    signal = run.per_layer("layers/grad_norm")
    return None if signal is None or signal.values.shape[1] < 2 else (signal.values[:, 0], signal.values[:, -1])


def _update_ratios(run: Run) -> Numbers | None:
    signal = run.per_layer("layers/update_ratio")
    if signal is None or signal.values.shape[1] != len(run.setup.layers):
        return None
    trained = np.array([layer.trainable and layer.parameters > 0 for layer in run.setup.layers], bool)
    return signal.values[:, trained]
