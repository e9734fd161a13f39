"""A model that may be trained for a while and is afterwards, bit for bit, what it was before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from diagnose.errors import InvalidArgumentError
from diagnose.hooks.belongings import put_aside, rewound
from diagnose.hooks.collectives import UnavailableError
from diagnose.hooks.layers import replicas, unwrapped
from diagnose.hooks.replay import beside_training
from diagnose.hooks.sharding import is_sharded


@contextmanager
def untouched(model: nn.Module, *others: object, parameters: Iterable[Tensor] = ()) -> Iterator[None]:
    """Within, model and `others` (criterion, loader) may change; afterwards, also after an exception, they have not.

    Weights, buffers, gradients, `requires_grad`, training mode and plain attributes of the modules are put back, and
    of `parameters` beside them; so are the random generators of torch, NumPy and Python, those that a DataLoader and
    its sampler carry, and the place of its persistent workers. Work goes on with copies: the memory of the weights is
    never written to. Monitors look away meanwhile.

    Raises `InvalidArgumentError` where a model cannot be put back, or would have to ask other ranks.
    """
    modules = [unwrapped(model), *(one for one in others if isinstance(one, nn.Module))]
    for reason in filter(None, map(_obstacle, (model, *modules))):
        raise InvalidArgumentError(f"This model cannot be put back afterwards, and is not touched: {reason}.")
    weights = [parameter for module in modules for parameter in module.parameters()]
    try:
        with ExitStack() as stack:
            stack.enter_context(beside_training(modules[0], *modules[1:]))
            stack.enter_context(put_aside(modules, {parameter: parameter for parameter in weights}))
            stack.enter_context(_weights_kept(_each_once([*weights, *parameters])))
            for loader in (one for one in others if not isinstance(one, nn.Module)):
                stack.enter_context(_loader_kept(loader))
            yield
    except UnavailableError as error:
        raise InvalidArgumentError(f"This model cannot be run by itself: {error}.") from error


def _obstacle(module: nn.Module) -> str:
    """Why the module is left alone; empty where it need not be."""
    if replicas(module) > 1:
        return "DistributedDataParallel would wait for other ranks; pass its `.module`, on one rank"
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            return f"{name or 'it'} is scripted, and keeps its state where it cannot be reached"
    for name, parameter in module.named_parameters():
        if is_sharded(parameter):
            return f"parts of {name} lie on other ranks"
        if parameter.is_meta:
            return f"{name} has no values (device “meta”)"
        if nn.parameter.is_lazy(parameter):
            return f"{name} has no shape yet; run the model once on a batch"  # type: ignore[unreachable]
    return ""


@contextmanager
def _weights_kept(weights: list[Tensor]) -> Iterator[None]:
    """Within, the weights have copies for their memory and no gradients."""
    with ExitStack() as undo:
        for weight, copy in zip(weights, _copies(weights), strict=True):
            undo.callback(_put_back, weight, weight.data, weight.grad, weight.requires_grad)
            weight.grad = None
            weight.data = copy
        yield


def _put_back(weight: Tensor, data: Tensor, gradient: Tensor | None, requires_grad: bool) -> None:  # noqa: FBT001
    weight.grad = None  # it may have another type than the one that was there
    weight.data = data
    weight.requires_grad_(requires_grad)
    weight.grad = gradient


def _copies(tensors: list[Tensor]) -> Iterator[Tensor]:
    """Copies that share memory where the tensors do: parts of one buffer, weights that are tied by a view."""
    memories: dict[tuple[torch.device, int], Any] = {}
    for tensor in (tensor.data for tensor in tensors):
        if type(tensor) is not Tensor or tensor.layout is not torch.strided or not tensor.numel():
            yield tensor.clone()
            continue
        memory = tensor.untyped_storage()
        key = tensor.device, memory.data_ptr()
        if key not in memories:
            memories[key] = memory.clone()  # type: ignore[no-untyped-call]
        yield tensor.new_empty(0).set_(memories[key], tensor.storage_offset(), tensor.size(), tensor.stride())


@contextmanager
def _loader_kept(loader: object) -> Iterator[None]:
    """Within, the loader may be iterated; its samplers, generators and persistent workers stand where they stood."""
    parts = [loader, *(getattr(loader, name, None) for name in ("sampler", "batch_sampler", "dataset"))]
    parts.append(getattr(parts[2], "sampler", None))
    with rewound(*_each_once(parts)):
        if isinstance(loader, DataLoader):
            loader._iterator = None  # persistent workers may be in the middle of somebody's epoch
        yield


def _each_once(things: Iterable[Any]) -> list[Any]:
    return list({id(thing): thing for thing in things if thing is not None}.values())


def evaluating(modules: Iterable[nn.Module]) -> ExitStack:
    """A context in which the modules are in evaluation mode; each submodule's own mode comes back."""
    stack = ExitStack()
    for module in modules:
        for part in module.modules():
            stack.callback(partial(setattr, part, "training", part.training))
        module.eval()
    return stack
