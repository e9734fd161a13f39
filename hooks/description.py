"""The set-up as the log tells it: config, environment, optimizer, scheduler and model summary."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from diagnose.facts import RANKS
from diagnose.hooks.layers import LayerTable, device_of
from diagnose.hooks.sharding import local, plain_type
from diagnose.run import Layer, Setup

GIT_TIMEOUT_S = 2
STATISTICS_SAMPLE = 1 << 20  # values of a weight that its statistics look at


def setup_of(
    layers: LayerTable,
    optimizers: Iterable[Optimizer],
    scheduler: object,
    scaler: object,
    config: Mapping[str, Any],
    *,
    criterion: object = None,
    noise_source: str = "",
    autocast: torch.dtype | None = None,
    ranks: int = 1,
) -> Setup:
    """Everything that is fixed before the first step, as plain values.

    `noise_source` tells what the gradient noise scale is estimated from, and `autocast` the type that mixed
    precision computes in, once that is known; `ranks` counts the processes whose gradients are averaged at a step.
    """
    leaves = Counter(plain_type(m).__name__ for m in layers.model.modules() if not any(m.children()))
    return Setup(
        config=_plain(config),
        environment={
            **environment(device_of(layers.model)),
            "grad_scaler": type(scaler).__name__ if _scales(scaler) else None,
            **({RANKS: ranks} if ranks > 1 else {}),
            **({"autocast": str(autocast)} if autocast is not None else {}),
            **({"noise_scale_from": noise_source} if noise_source else {}),
        },
        optimizer=_optimizer(optimizers),
        scheduler=_scheduler(scheduler),
        model={
            "type": plain_type(layers.model).__name__,
            "parameters": sum(map(_size, layers.parameters)),
            "trainable_parameters": sum(_size(p) for p in layers.parameters if p.requires_grad),
            **_dtype(layers.parameters),
            **_dropout(layers.model),
            **_label_smoothing(criterion),
        },
        modules=dict(leaves),
        layers=tuple(_layer(name, module, layers) for name, module in layers.modules),
    )


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device, seed and the git commit of the working directory; nothing of the process's environment."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": gpu or str(device),
        "threads": torch.get_num_threads(),
        "seed": torch.initial_seed(),
        "git_commit": _git_commit(),
        "script": Path(sys.argv[0]).name if sys.argv and sys.argv[0] else None,
    }


def _git_commit() -> str | None:
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607  whichever git the user has
            capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def _optimizer(optimizers: Iterable[Optimizer]) -> dict[str, Any]:
    """The first optimizer's type, and the settings of all groups in the order of `lr/group0`, `lr/group1`, …"""
    every = list(optimizers)
    if not every:
        return {}
    groups = [group for optimizer in every for group in optimizer.param_groups]
    settings = [{k: _plain(v) for k, v in group.items() if k != "params"} for group in groups]
    others = [type(optimizer).__name__ for optimizer in every[1:]]
    return {"type": type(every[0]).__name__, "groups": settings, **({"others": others} if others else {})}


def _scheduler(scheduler: object) -> dict[str, Any]:
    if scheduler is None:
        return {}
    state: dict[str, Any] = getattr(scheduler, "state_dict", dict)()
    settings = {
        k: _plain(v) for k, v in state.items() if isinstance(v, int | float | str | list) and not k.startswith("_")
    }
    parts = [type(part).__name__ for part in getattr(scheduler, "_schedulers", ())]  # of SequentialLR and its kin
    return {"type": type(scheduler).__name__, **settings, **({"parts": parts} if parts else {})}


def _scales(scaler: object) -> bool:
    """Whether the scaler scales at all: a disabled one stands in for none."""
    enabled = getattr(scaler, "is_enabled", None)
    return scaler is not None and (not callable(enabled) or bool(enabled()))


def _dtype(parameters: Iterable[nn.Parameter]) -> dict[str, str]:
    """The type of most trainable numbers."""
    counts: Counter[str] = Counter()
    for parameter in parameters:
        if parameter.requires_grad:
            counts[str(parameter.dtype)] += _size(parameter)
    return {"dtype": counts.most_common(1)[0][0]} if counts else {}


def _dropout(model: nn.Module) -> dict[str, float]:
    """The largest rate of the dropout layers."""
    rates = [float(m.p) for m in model.modules() if isinstance(m, nn.modules.dropout._DropoutNd)]
    return {"dropout": max(rates)} if rates else {}


def _label_smoothing(criterion: object) -> dict[str, float]:
    smoothing = getattr(criterion, "label_smoothing", None)
    return {"label_smoothing": float(smoothing)} if isinstance(smoothing, int | float) else {}


def _layer(name: str, module: nn.Module, layers: LayerTable) -> Layer:
    own = list(module.parameters(recurse=False))
    if not layers.first_weights.get(name):  # a later description must not tell of trained weights
        layers.first_weights[name] = _weight_statistics(module)
    return Layer(
        name=name or plain_type(module).__name__,
        type=plain_type(module).__name__,
        parameters=sum(map(_size, own)),
        trainable=any(p.requires_grad for p in own),
        activation=layers.activations.get(name, ""),
        init=layers.first_weights[name],
    )


def _size(parameter: nn.Parameter) -> int:
    """Number of values; 0 while a lazy module does not know it yet."""
    return 0 if nn.parameter.is_lazy(parameter) else parameter.numel()


def _weight_statistics(module: nn.Module) -> dict[str, float]:
    """Standard deviation and fans of the module's weight matrix; empty where it has none.

    Of a sharded one the deviation is that of the rows on this rank, left out where there are none.
    """
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    if (
        weight is None
        or nn.parameter.is_lazy(weight)
        or weight.is_meta
        or weight.dim() < 2
        or not weight.is_floating_point()
    ):
        return {}
    receptive = weight.shape[2:].numel()
    values = local(weight).detach().flatten()
    sample = values[:: max(1, values.numel() // STATISTICS_SAMPLE)]
    return {
        **({"weight_std": float(sample.float().std())} if sample.numel() > 1 else {}),
        "fan_in": float(weight.shape[1] * receptive),
        "fan_out": float(weight.shape[0] * receptive),
    }


def _plain(value: Any) -> Any:
    """The value as JSON holds it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        return value.item() if value.numel() == 1 else str(tuple(value.shape))
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    return str(value)
