"""The model run once more beside the training, without a trace.

Weights may be replaced for the occasion; buffers are copied, random generators put back, our own hooks
sleep. What a forward pass changes beyond that (an attribute that counts calls, say) stays changed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from diagnose.hooks.guard import Hook, is_ours
from diagnose.hooks.sharding import is_sharded

SEED = 0  # every run of a replay draws the same dropout masks


def autocast_type(device_type: str) -> torch.dtype | None:
    """The type that mixed precision computes in where this is called; None where it is off."""
    return torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None


def autocast(device_type: str, dtype: torch.dtype | None) -> torch.autocast:
    """A context in which mixed precision is what `autocast_type` told it was."""
    return torch.autocast(device_type, dtype=dtype, enabled=dtype is not None, cache_enabled=False)


def obstacle(model: nn.Module) -> str | None:
    """Why the model must not be run once more; None where it may.

    Somebody else's hooks would run with it, and might count, collect or communicate; so might a forward that
    was put in the place of the class's own, and a captured graph reads its own weights.
    """
    if any(map(is_sharded, model.parameters())):
        return "parts of the model lie on other ranks"
    for name, module in model.named_modules():
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        if not all(map(is_ours, hooks)):
            return f"{name or type(model).__name__} has forward hooks of its own"
        if "forward" in vars(module):
            return f"{name or type(model).__name__} had its forward replaced"
    return None


@contextmanager
def beside_training(model: nn.Module) -> Iterator[None]:
    """Put every random generator back at the end, and let our hooks sleep meanwhile."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  the generator that models use
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=_cuda_devices(model)))
        if any(module._compiled_call_impl is not None for module in model.modules()):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.callback(random.setstate, python)
        stack.callback(np.random.set_state, numpy)
        stack.enter_context(Hook.sleeping())
        yield


def output_of(
    model: nn.Module, weights: Mapping[str, Tensor], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> Any:
    """The model's output with `weights` in place of its parameters; each call draws the same random numbers.

    To be called within `beside_training`.
    """
    torch.default_generator.manual_seed(SEED)  # torch.manual_seed would reach every device of the machine
    for device in _cuda_devices(model):
        torch.cuda.default_generators[device].manual_seed(SEED)
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    return functional_call(model, {**weights, **buffers}, tuple(arguments), dict(keywords))


def _cuda_devices(model: nn.Module) -> list[int]:
    return sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
