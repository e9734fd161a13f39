"""The hyperparameters that advice is about: their names, units, sane ranges, and what moving them is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from diagnose.diagnosis import Setting
from diagnose.facts import ACCUMULATION, EPOCHS

UTMOST: Final = 1e18  # no training has more of anything; what follows from several such numbers is still finite
SMALLEST: Final = 1e-30  # beside 0, for the same reason


@dataclass(frozen=True)
class Hyperparameter:
    """One of them. Its `aliases` are the names under which users of the usual frameworks keep it.

    `least` and `most` bound what advice may ask for; what a user may have is bounded by `allows`: `zero` tells that 0
    means something, `below` which number is beyond all sense, `word` that it is no number. `raised` and `lowered` name
    the remedy that a move in that direction is, `switched` the one that a new kind is (empty where there is none).
    """

    name: str
    unit: str = ""
    least: float = 0.0
    most: float = inf
    whole: bool = False
    zero: bool = False
    below: float = UTMOST
    word: bool = False
    aliases: tuple[str, ...] = ()
    raised: str = ""
    lowered: str = ""
    switched: str = ""

    def allows(self, value: Setting) -> bool:
        """Whether a training can have this value at all."""
        if self.word:
            return value is not None and value != ""
        if isinstance(value, bool) or not isinstance(value, int | float) or 0 < abs(value) < SMALLEST:
            return False
        least = 1 if self.unit in ("samples", "micro-batches", "units", "layers") else 0
        return (value >= 0 if self.zero else value > 0) and least <= value < self.below

    @property
    def wanted(self) -> str:
        """What `allows` asks for, in words."""
        if self.word:
            return "a name"
        least = "0 or a number above it" if self.zero else "a number above 0"
        return f"{least} ({SMALLEST:g} at the least) and below {self.below:g}"

    def clamped(self, value: float) -> float:
        """The nearest value within the sane range, whole where only whole ones make sense."""
        inside = min(max(value, self.least), self.most)
        return float(round(inside)) if self.whole else inside


_ALL: Final = (
    Hyperparameter("lr", least=1e-07, most=3.0, raised="raise_lr", lowered="lower_lr",
                   aliases=("learning_rate", "base_lr", "init_lr", "initial_lr", "max_lr")),
    Hyperparameter("batch_size", "samples", 1, 2**20, whole=True, raised="enlarge_batch", lowered="shrink_batch",
                   aliases=("per_device_train_batch_size", "train_batch_size", "micro_batch_size")),
    Hyperparameter("accumulation_steps", "micro-batches", 1, 1024, whole=True, raised="accumulate_gradients",
                   lowered="accumulate_gradients", aliases=ACCUMULATION),
    Hyperparameter("epochs", "epochs", 1, whole=True, raised="train_longer", lowered="early_stop",
                   aliases=EPOCHS),
    Hyperparameter("steps", "steps", 1, whole=True, raised="train_longer", lowered="early_stop",
                   aliases=("max_steps", "num_steps", "total_steps", "iterations", "num_training_steps")),
    Hyperparameter("warmup_steps", "steps", 0, whole=True, zero=True, raised="lengthen_warmup",
                   lowered="lengthen_warmup", aliases=("num_warmup_steps", "lr_warmup_steps")),
    Hyperparameter("decay_steps", "steps", 1, whole=True, raised="delay_decay", lowered="decay_lr",
                   aliases=("T_max", "lr_decay_steps")),
    Hyperparameter("max_norm", least=1e-4, most=1e4, zero=True, raised="clip_gradients", lowered="clip_gradients",
                   aliases=("max_grad_norm", "grad_clip", "clip_grad_norm", "gradient_clip_val", "grad_norm_clip")),
    Hyperparameter("momentum", most=0.99, zero=True, below=1.0, raised="raise_momentum", lowered="lower_momentum",
                   switched="lower_momentum", aliases=("beta1",)),
    Hyperparameter("weight_decay", most=0.3, zero=True, raised="increase_weight_decay",
                   lowered="decrease_weight_decay", aliases=("wd", "l2", "weight_decay_rate")),
    Hyperparameter("dropout", most=0.5, zero=True, below=1.0, raised="increase_dropout", lowered="decrease_dropout",
                   aliases=("dropout_rate", "p_dropout", "drop_rate", "hidden_dropout_prob")),
    Hyperparameter("label_smoothing", most=0.2, zero=True, below=1.0, raised="label_smoothing",
                   lowered="label_smoothing", aliases=("label_smoothing_factor", "smoothing")),
    Hyperparameter("ema_decay", most=0.9999, zero=True, below=1.0, raised="average_weights",
                   lowered="average_weights", aliases=("ema",)),
    Hyperparameter("width", "units", 1, whole=True, raised="enlarge_model", lowered="shrink_model",
                   aliases=("hidden_size", "hidden_dim", "d_model", "n_embd", "hidden_units")),
    Hyperparameter("depth", "layers", 1, whole=True, raised="enlarge_model", lowered="shrink_model",
                   aliases=("num_layers", "n_layers", "n_layer", "num_hidden_layers")),
    Hyperparameter("scheduler", word=True, switched="decay_lr",
                   aliases=("schedule", "lr_scheduler", "lr_scheduler_type")),
    Hyperparameter("optimizer", word=True, switched="use_adamw", aliases=("optim", "opt")),
    Hyperparameter("normalization", word=True, switched="switch_normalization", aliases=("norm", "norm_layer")),
    Hyperparameter("activation", word=True, switched="change_activation", aliases=("nonlinearity", "hidden_act")),
    Hyperparameter("initialization", word=True, switched="match_initialization", aliases=("init", "initializer")),
    Hyperparameter("augmentation", word=True, switched="augment", aliases=("augment", "data_augmentation")),
    Hyperparameter("model", word=True, switched="enlarge_model",
                   aliases=("backbone", "arch", "architecture", "model_name")),
    Hyperparameter("loss_scaling", word=True, switched="loss_scaling", aliases=("grad_scaler", "amp_loss_scale")),
    Hyperparameter("precision", word=True, switched="loss_scaling", aliases=("dtype", "amp_dtype", "mixed_precision")),
    Hyperparameter("early_stopping", word=True, switched="early_stop"),
    Hyperparameter("shuffle", word=True, switched="shuffle_data"),
    Hyperparameter("inputs", word=True, switched="normalize_inputs",
                   aliases=("normalize", "input_scaling", "standardize")),
)  # fmt: skip

HYPERPARAMETERS: Final[Mapping[str, Hyperparameter]] = {each.name: each for each in _ALL}
_BY_ANY_NAME: Final = {name: each.name for each in _ALL for name in (each.name, *each.aliases)}


def canonical(name: str, value: object = None) -> str:
    """Our name of a setting that users call `name` (in any case, with hyphens or underscores), else `name` itself.

    A warmup below 1 is a share of the steps (Transformers takes `warmup_steps` so too), which the `value` tells.
    """
    plain = name.strip().replace("-", "_")
    known = _BY_ANY_NAME.get(plain) or _BY_ANY_NAME.get(plain.lower()) or plain
    if known in ("warmup", "warmup_steps"):
        return "warmup_ratio" if _is_share(value) else "warmup_steps"
    return known


def _is_share(value: object) -> bool:
    try:
        return isinstance(value, float | str) and 0 < float(value) < 1
    except ValueError:
        return False
