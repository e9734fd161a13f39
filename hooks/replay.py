"""The model run once more beside the training, without a trace.

Model and criterion work on copies of all that they carry (`put_aside`), random generators are put back, our
own hooks sleep, and nothing is sent to other ranks. What a forward pass changes in objects beyond the modules
(a global counter, say) stays changed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from diagnose.hooks.belongings import copy_of, put_aside
from diagnose.hooks.collectives import no_collectives
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
    """Why the model, or a criterion, must not be run once more; None where it may.

    Somebody else's hooks would run with it, and might count, collect or communicate; so might a forward that
    was put in the place of the class's own. A captured graph reads its own weights, scripted code keeps its
    state where we do not reach, and a wrapper of torch's counts its passes.
    """
    if any(map(is_sharded, model.parameters())):
        return "parts of the model lie on other ranks"
    for name, module in model.named_modules():
        called = name or type(model).__name__
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        if not all(map(is_ours, hooks)):
            return f"{called} has forward hooks of its own"
        if "forward" in vars(module):
            return f"{called} had its forward replaced"
        if isinstance(module, torch.jit.ScriptModule):
            return f"{called} is scripted"
        if type(module).__module__.startswith(("torch.nn.parallel.", "torch.distributed.fsdp.")):
            return f"{called} spreads its work over devices"
    return None


class Replay:
    """Runs a model with given weights, on copies of what it and `others` carry; made by `beside_training`.

    The weights stay in their places until the next run or the end: a checkpointed layer runs again in the
    backward pass.
    """

    def __init__(self, model: nn.Module, others: Sequence[nn.Module]) -> None:
        self._model = model
        self._modules = (model, *others)
        self._aside = ExitStack()

    def output_of(self, weights: Mapping[str, Tensor], arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """The model's output with `weights` in place of its parameters; each call draws the same random numbers."""
        self.end()
        parameters = dict(self._model.named_parameters())
        stand_ins = {parameters[name]: weight for name, weight in weights.items()}
        self._aside.enter_context(put_aside(self._modules, stand_ins))
        same_draws(self._model)
        return self._model(*copies_of(tuple(arguments)), **copies_of(dict(keywords)))

    def end(self) -> None:
        """Give the modules their own back."""
        self._aside.close()


@contextmanager
def beside_training(model: nn.Module, *others: nn.Module) -> Iterator[Replay]:
    """Put every random generator back at the end, and let our hooks sleep meanwhile.

    Raises `UnavailableError` where something would be sent to other ranks.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  the generator that models use
    replay = Replay(model, others)
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=_cuda_devices(model)))
        if any(module._compiled_call_impl is not None for module in model.modules()):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.callback(random.setstate, python)
        stack.callback(np.random.set_state, numpy)
        stack.enter_context(Hook.sleeping())
        stack.callback(replay.end)
        stack.enter_context(no_collectives())
        yield replay


def same_draws(model: nn.Module) -> None:
    """Let the model draw the same random numbers as after the last call of this; within `beside_training`."""
    torch.default_generator.manual_seed(SEED)  # torch.manual_seed would reach every device of the machine
    for device in _cuda_devices(model):
        torch.cuda.default_generators[device].manual_seed(SEED)
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002


def copies_of(values: Any) -> Any:
    """The same values with copies of all tensors: what a module changes in its inputs is not training's."""
    return tree_map(lambda value: copy_of(value) if isinstance(value, Tensor) else value, values)


def _cuda_devices(model: nn.Module) -> list[int]:
    return sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
