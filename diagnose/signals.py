"""The vocabulary of what is measured: every signal's name, unit and meaning.

A name's first part says the family (`loss/train`, `layers/grad_norm`); names under `layers/` are
vectors with one entry per layer, all others are scalars, one value per step.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Signal(NamedTuple):
    """One measured quantity over steps."""

    name: str
    unit: str  # "" where the quantity has none
    meaning: str


_GLOBAL = (
    Signal("loss/train", "", "training loss of the step, averaged over its micro-batches"),
    Signal("loss/validation", "", "loss over the validation data, averaged over its samples"),
    Signal("accuracy/train", "", "share of training samples classified rightly"),
    Signal("accuracy/validation", "", "share of validation samples classified rightly"),
    Signal("lr/group0", "", "learning rate of the first parameter group"),
    Signal("grad_norm", "", "2-norm of all gradients as the optimizer sees them"),
    Signal("grad_norm_unclipped", "", "2-norm of all gradients before clipping"),
    Signal("param_norm", "", "2-norm of all parameters"),
    Signal("update_ratio", "", "‖Δθ‖ / ‖θ‖ of the step"),
    Signal("loss_scale", "", "factor of mixed-precision loss scaling"),
    Signal("skipped_steps", "steps", "steps that loss scaling has skipped so far"),
    Signal("nonfinite_inputs", "values", "NaN and infinite values in the model's inputs of the step"),
    Signal("noise_scale", "samples", "gradient noise scale B_simple = tr(Σ) / ‖G‖²"),
    Signal("hessian_trace", "", "trace of the loss's Hessian, Hutchinson's estimate"),
    Signal("fisher_trace", "", "sum of squared gradients, a cheap proxy of the Hessian's trace"),
    Signal("sharpness", "", "largest eigenvalue λ_max of the loss's Hessian"),
    Signal("lr_sharpness", "", "η·λ_max; gradient descent is stable below 2"),
    Signal("throughput", "steps/s", "optimizer steps a second"),
)

_PER_LAYER = (
    Signal("layers/grad_norm", "", "2-norm of each layer's gradients"),
    Signal("layers/param_norm", "", "2-norm of each layer's parameters"),
    Signal("layers/update_ratio", "", "‖Δθ‖ / ‖θ‖ of each layer"),
    Signal("layers/activation_mean", "", "mean of each layer's output"),
    Signal("layers/activation_variance", "", "variance over samples of each layer's output, mean over units"),
    Signal("layers/zero_fraction", "", "share of exact zeros after each layer's activation"),
    Signal("layers/saturated_fraction", "", "share of values at the flat ends of each layer's activation"),
    Signal("layers/nonfinite", "values", "NaN and infinite values in each layer's output"),
    Signal("layers/nonfinite_weights", "values", "NaN and infinite values in each layer's parameters"),
)

SIGNALS: Final[dict[str, Signal]] = {signal.name: signal for signal in (*_GLOBAL, *_PER_LAYER)}

TRAIN_LOSS: Final = "loss/train"
RANK_LOSS: Final = "loss/rank"  # and a rank's number: its own loss up to the step at which it broke
MOST_DIGITS: Final = 10  # of a rank in a name that may come from anywhere
VALIDATION_LOSS: Final = "loss/validation"
LR: Final = "lr/group0"
GRAD_NORM: Final = "grad_norm"
GRAD_NORM_UNCLIPPED: Final = "grad_norm_unclipped"
UPDATE_RATIO: Final = "update_ratio"
LOSS_SCALE: Final = "loss_scale"
SKIPPED_STEPS: Final = "skipped_steps"
NOISE_SCALE: Final = "noise_scale"
SHARPNESS: Final = "sharpness"
LR_SHARPNESS: Final = "lr_sharpness"
HESSIAN_TRACE: Final = "hessian_trace"
PARAM_NORM: Final = "param_norm"
NONFINITE_INPUTS: Final = "nonfinite_inputs"
LAYER_GRAD_NORM: Final = "layers/grad_norm"
LAYER_PARAM_NORM: Final = "layers/param_norm"
LAYER_UPDATE_RATIO: Final = "layers/update_ratio"
LAYER_ZERO_FRACTION: Final = "layers/zero_fraction"
LAYER_SATURATED_FRACTION: Final = "layers/saturated_fraction"
LAYER_NONFINITE: Final = "layers/nonfinite"
LAYER_NONFINITE_WEIGHTS: Final = "layers/nonfinite_weights"
LAYER_ACTIVATION_VARIANCE: Final = "layers/activation_variance"


def rank_of_loss(name: str) -> int | None:
    """The rank whose own training loss `name` is (`loss/rank3`), None for any other signal."""
    number = name.removeprefix(RANK_LOSS)
    return int(number) if number != name and number.isdecimal() and len(number) < MOST_DIGITS else None


def is_per_layer(name: str) -> bool:
    """Whether the signal `name` is a vector with one entry per layer."""
    return name.startswith("layers/")
