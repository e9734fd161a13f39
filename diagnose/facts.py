"""What a set-up tells about a run, read with care: None, nothing or no where it does not tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from diagnose.optimizer_names import kind_of
from diagnose.run import Run, Setup
from diagnose.schedules import WARMUP_START, peak_lr
from diagnose.signals import LR

# The names under which users of torch, Transformers, Lightning and timm keep the same setting.
ACCUMULATION: Final = ("accumulation_steps", "gradient_accumulation_steps", "accumulate_grad_batches")
PRETRAINED: Final = ("pretrained", "fine_tuning", "finetuning", "finetune")
EPOCHS: Final = ("epochs", "max_epochs", "num_epochs", "num_train_epochs")
STRONG_AUGMENTATION: Final = re.compile(r"(rand|auto|trivial)_?augment|mix_?up|cut_?mix|aug_?mix")  # K47 and their kin
NEGATED: Final = ("no_", "not_", "non_", "disable_", "without_", "skip_")
BESIDE: Final = ("_prob", "_mode", "_epoch", "_off_epoch", "_switch_prob")  # settings of one, which may be off
MOVING_TASKS: Final = frozenset({
    "gan", "gans", "wgan", "adversarial", "rl", "reinforcement", "ppo", "dqn", "a2c", "a3c", "sac", "td3",
    "ddpg", "rlhf",
})  # fmt: skip
MOVING_LOSSES: Final = re.compile(
    r"(^|[/_.])(d|g|disc|gen|discriminator|generator|critic|actor|policy|value|td|adv|adversarial|gan)_loss"
    r"|loss[/_.](d|g|disc|gen|discriminator|generator|critic|actor|policy|td|adv|gan)($|[/_.])"
)
STABLE: Final = 2.0  # η·λ_max of plain gradient descent, K20 (stability-scaling §2)
RANKS: Final = "data_parallel_ranks"  # what a log calls them
NO: Final = ("", "0", "no", "none", "false", "off")
SMALL_SET: Final = 100_000  # samples: of fewer a run passes all, often; web-scale text is passed once (K41)
WEIGHT_LAYERS: Final = ("Linear", "Conv", "Bilinear")
WORDS: Final = ("WordEmbedding", "ParallelEmbedding")  # Transformers' scaled ones, Megatron's and vLLM's split ones


def first_number(setup: Setup, names: Iterable[str]) -> float | None:
    """The first of these settings of the config that is a number."""
    return next((number for name in names if (number := setup.config_number(name)) is not None), None)


def batch_size(setup: Setup) -> float | None:
    """Samples of one forward pass on one rank: `batch_size` of the config."""
    size = setup.config_number("batch_size")
    return size if size is not None and size > 0 else None


def accumulation(setup: Setup) -> float:
    """Micro-batches of a step, 1 where none are told."""
    return max(first_number(setup, ACCUMULATION) or 1.0, 1.0)


def ranks(setup: Setup) -> float:
    """Processes whose gradients are averaged at a step, 1 where the log tells of none."""
    told = setup.environment.get(RANKS)
    return float(told) if isinstance(told, int | float) and told >= 1 else 1.0


def effective_batch_size(setup: Setup) -> float | None:
    """Samples of one optimizer step: B_eff = B_micro × N_accum × ranks. Source: K10 (interdependencies §9)."""
    size = batch_size(setup)
    return None if size is None else size * accumulation(setup) * ranks(setup)


def steps_per_epoch(setup: Setup) -> float | None:
    """Optimizer steps of one pass over the data."""
    samples, size = setup.config_number("dataset_size"), effective_batch_size(setup)
    return samples / size if samples and samples > 0 and size else None


def passes(run: Run) -> float | None:
    """How often each training sample was seen, on average; None where the log does not tell.

    Only a log of ours that says that training ended does: others may count epochs, or one rank's steps, or go on.
    """
    batch, samples = effective_batch_size(run.setup), run.setup.config_number("dataset_size")
    if not run.finished or batch is None or samples is None or samples <= 1:
        return None
    return run.steps * batch / samples


def optimizer_type(setup: Setup) -> str:
    """The optimizer's class name, empty where the log does not tell."""
    kind = setup.optimizer.get("type")
    return kind if isinstance(kind, str) else ""


def is_adaptive(optimizer: str) -> bool:
    """Whether that is Adam, or of its kin by name; wrappers that find their own rate are not."""
    return kind_of(optimizer) == "adaptive"


def is_sgd(optimizer: str) -> bool:
    """Whether that is SGD by name, with or without momentum."""
    return kind_of(optimizer) == "sgd"


def tested_lr(setup: Setup) -> float | None:
    """The rate that a range test suggested: `lr_range_test` of the config, a number or a mapping with `suggestion`."""
    told = setup.config.get("lr_range_test")
    suggested = told.get("suggestion") if isinstance(told, Mapping) else told
    rate = Setup(config={"lr": suggested}).config_number("lr")
    return rate if rate is not None and rate > 0 else None


def stable_below(setup: Setup) -> float:
    """η·λ_max under which gradient descent is stable: 2, and 2(1 + β) with momentum β (K20; Cohen et al. 2021)."""
    return STABLE * (1 + (setup.optimizer_setting("momentum") or 0.0))


def scheduler_types(setup: Setup) -> tuple[str, ...]:
    """The scheduler's class name, and those it is put together from."""
    parts = setup.scheduler.get("parts")
    every = (setup.scheduler.get("type"), *(parts if isinstance(parts, list | tuple) else ()))
    return tuple(kind for kind in every if isinstance(kind, str))


def planned_peak(run: Run) -> float | None:
    """The highest rate that log and optimizer speak of: a warmup has not reached it when it begins."""
    named = [rate for name in ("lr", "initial_lr", "max_lr") for rate in run.setup.optimizer_settings(name)[:1]]
    logged = peak_lr(run.scalar(LR))
    return max((*named, *([logged] if logged is not None else [])), default=None)


def warms_up(run: Run) -> bool | None:
    """Whether the rate starts well below its peak; None where neither log nor scheduler tells."""
    peak = planned_peak(run)
    logged = run.scalar(LR)
    if peak is None or run.start > 0:
        return None
    if logged is not None and len(logged.finite):
        return bool(logged.finite.values[0] < WARMUP_START * peak)
    first = run.setup.optimizer_setting("lr")
    return None if first is None or not scheduler_types(run.setup) else first < WARMUP_START * peak


def says_yes(value: object) -> bool:
    """Whether a setting is switched on: a yes, a number above 0, a name, or a list or mapping with something in it."""
    if isinstance(value, str):
        return value.strip().lower() not in NO
    if isinstance(value, int | float):
        return value > 0
    return bool(value) if isinstance(value, list | tuple | Mapping) else False


def is_fine_tuning(setup: Setup) -> bool:
    """Whether the config says so, or most of the model's parameters are frozen."""
    every, trainable = setup.model_number("parameters"), setup.model_number("trainable_parameters")
    mostly_frozen = every is not None and trainable is not None and trainable < every / 2
    return mostly_frozen or any(says_yes(setup.config.get(name)) for name in PRETRAINED)


def task(setup: Setup) -> str:
    """What the config calls its task, in small letters; empty where it does not."""
    told = setup.config.get("task")
    return told.lower() if isinstance(told, str) else ""


def has_fixed_minimum(run: Run) -> bool:
    """Whether the training loss measures one thing throughout, so that its shape tells how the run is.

    Adversaries move each other's loss, and what an agent predicts changes with what it does: such a loss may rise or
    stay level while all is well. Told by the config's task, or by the names of the losses.
    """
    words = set(re.split(r"[^a-z0-9]+", task(run.setup)))
    return not words & MOVING_TASKS and not any(MOVING_LOSSES.search(name.lower()) for name in run.scalars)


def dropout(setup: Setup) -> float | None:
    """The largest rate of the model's dropout layers, else the config's; None where neither tells."""
    rate = setup.model_number("dropout")
    return rate if rate is not None else setup.config_number("dropout")


def label_smoothing(setup: Setup) -> float:
    """ε of the criterion or the config, 0 where neither tells."""
    return setup.model_number("label_smoothing") or setup.config_number("label_smoothing") or 0.0


def weight_decay(setup: Setup) -> float | None:
    """The largest weight decay of all parameter groups: biases and norms often have none."""
    return max(setup.optimizer_settings("weight_decay"), default=None)


def has_decoupled_decay(setup: Setup) -> bool:
    """Whether weight decay stays out of the gradient: AdamW, SGDW, or Adam told to do so."""
    return any(kind in optimizer_type(setup).lower() for kind in ("adamw", "sgdw")) or setup.optimizer_flag(
        "decoupled_weight_decay"
    )


def is_strong_augmentation(name: str) -> bool:
    """Whether that is the name of one (K47 and their kin), in whatever spelling: `use_mixup`, `timm_randaugment_m9`."""
    plain = name.lower()
    return (
        STRONG_AUGMENTATION.search(plain) is not None and not plain.startswith(NEGATED) and not plain.endswith(BESIDE)
    )


def strong_augmentation(setup: Setup) -> str:
    """The first strong augmentation that the config names, empty where it names none."""
    told = setup.config.get("augmentation")
    names = [told] if isinstance(told, str) else told if isinstance(told, list | tuple) else []
    switches = {**setup.config, **(told if isinstance(told, Mapping) else {})}
    every = [*names, *(name for name, value in switches.items() if says_yes(value))]
    return next((n for n in every if isinstance(n, str) and is_strong_augmentation(n)), "")


def weight_layers(setup: Setup) -> int:
    """Number of layers that mix their inputs: linear ones and convolutions."""
    return sum(layer.type.startswith(WEIGHT_LAYERS) for layer in setup.layers)


def takes_tokens(setup: Setup) -> bool:
    """Whether a sample is a sequence of tokens, each of which is learnt from: the first layer looks words up.

    Patches, places and points in time are embedded too, by layers of other names or behind the first one. A table of
    users or goods cannot be told from one of words, and counts as one.
    """
    first = setup.layers[0].type if setup.layers else ""
    return first == "Embedding" or first.endswith(WORDS)


def has_norm(setup: Setup) -> bool:
    """Whether the model has a normalisation layer of any kind."""
    return any("Norm" in module for module in setup.modules)
