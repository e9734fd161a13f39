"""A model that may be trained for a while and is afterwards, bit for bit, what it was before."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from diagnose.errors import InvalidArgumentError
from diagnose.hooks.belongings import put_aside, rewound
from diagnose.hooks.collectives import UnavailableError
from diagnose.hooks.guard import is_ours
from diagnose.hooks.layers import replicas, unwrapped
from diagnose.hooks.replay import beside_training
from diagnose.hooks.sharding import is_sharded

WRAPPED: Final = ("sampler", "batch_sampler", "dataset")  # under which a loader has things of whatever class
MOST_SAMPLES: Final = 10_000_000  # that an order is kept of: more numbers in a row are rather the data themselves
CAPTURED: Final = "make_graphed_callables"  # torch's, in the name of the forward that it puts in place of a module's


@contextmanager
def untouched(model: nn.Module, *others: object, parameters: Iterable[Tensor] = ()) -> Iterator[None]:
    """Within, model and `others` (criterion, loader) may change; afterwards, also after an exception, they have not.

    Weights, buffers, gradients, `requires_grad`, training mode and plain attributes of the modules are put back, of
    wrappers around the model too, and of `parameters` beside them; so are the random generators of torch on every
    device, of NumPy and Python, those that a DataLoader, its samplers and datasets carry, and the place of its
    persistent workers. A method of a module among `others` stands for its module. Work goes on with copies: the
    memory of the weights is never written to. Monitors look away meanwhile.

    Raises `InvalidArgumentError` where a model cannot be put back, or would have to ask other ranks.
    """
    inner, others = unwrapped(model), tuple(map(_module_behind, others))
    modules = [inner, *(one for one in others if isinstance(one, nn.Module))]
    wrappers = set(model.modules()) - set(inner.modules())
    for reason in filter(None, map(_obstacle, (model, *modules))):
        raise InvalidArgumentError(f"This model cannot be put back afterwards, and is not touched: {reason}.")
    weights = [parameter for module in modules for parameter in module.parameters()]
    try:
        with ExitStack() as stack:
            # Where an evaluation calls: what is made within is to be trained on, and torch forbids that there.
            stack.enter_context(torch.inference_mode(mode=False))
            stack.enter_context(beside_training(inner, *modules[1:]))
            stack.enter_context(rewound(*_device_generators(), *wrappers))
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
        if CAPTURED in getattr(vars(part).get("forward"), "__qualname__", ""):
            return f"{name or 'it'} runs as a captured CUDA graph, which reads its own weights and no copies"
    return next(filter(None, (_fault(name, parameter) for name, parameter in module.named_parameters())), "")


def _fault(name: str, parameter: nn.Parameter) -> str:
    """Why a parameter cannot be put back; empty where it can."""
    if is_sharded(parameter):
        return f"parts of {name} lie on other ranks"
    if parameter.is_meta:
        return f"{name} has no values (device “meta”)"
    if nn.parameter.is_lazy(parameter):
        return f"{name} has no shape yet; run the model once on a batch"  # type: ignore[unreachable]
    if parameter.is_inference():
        return f"{name} was made in torch.inference_mode(), and has no gradients; make the model outside of it"
    if not all(map(is_ours, (parameter._post_accumulate_grad_hooks or {}).values())):
        return f"a hook of {name} runs after each backward pass, and may take a step with an optimizer of its own"
    return ""


def _device_generators() -> Iterator[torch.Generator]:
    """The random generators of all accelerators in use, whichever of them the model lies on."""
    yield from torch.cuda.default_generators  # empty until CUDA is used; reading a state does not wait for the device
    yield from torch.xpu.default_generators
    if torch.backends.mps.is_available():
        yield torch.mps._get_default_mps_generator()


def _module_behind(thing: object) -> object:
    """The module whose method it is; anything else as it is."""
    owner = getattr(thing, "__self__", None)
    return owner if isinstance(owner, nn.Module) else thing


@contextmanager
def _weights_kept(weights: list[Tensor]) -> Iterator[None]:
    """Within, the weights have copies for their memory and no gradients."""
    with ExitStack() as undo:
        for weight, stand_in in zip(weights, _copies(weights), strict=True):
            undo.callback(_put_back, weight, weight.data, weight.grad, weight.requires_grad)
            weight.grad = None
            weight.data = stand_in
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
    """Within, the loader may be iterated; its samplers, generators and persistent workers stand where they stood.

    So do orders that are shuffled in place: whole numbers in an array or tensor of one dimension.
    """
    parts = list(_parts_of(loader))
    orders = [value for part in parts for value in _carried(part).values() if _is_order(value)]
    with ExitStack() as undo:
        for order in orders:
            undo.callback(_write_back, order, copy.copy(order) if isinstance(order, np.ndarray) else order.clone())
        undo.enter_context(rewound(*parts))
        for one in parts:
            if isinstance(one, DataLoader):
                one._iterator = None  # persistent workers may be in the middle of somebody's epoch
        yield


def _parts_of(loader: object) -> Iterator[object]:
    """The loader with the loaders, samplers and datasets that it wraps, and those that they wrap; each once."""
    met: set[int] = set()
    waiting = [loader]
    while waiting:
        thing = waiting.pop()
        if thing is None or id(thing) in met:
            continue
        met.add(id(thing))
        yield thing
        for name, value in _carried(thing).items():
            if name in WRAPPED or isinstance(value, DataLoader | Sampler | Dataset):
                waiting.append(value)
            elif isinstance(value, list) and value and isinstance(value[0], Dataset):
                waiting += value


def _carried(thing: object) -> dict[str, Any]:
    return dict(getattr(thing, "__dict__", {}))


def _is_order(value: object) -> bool:
    """Whether it may be the order of samples; a memory-mapped array of tokens is none, nor is one that is too long."""
    if type(value) is np.ndarray:
        return value.ndim == 1 and value.dtype.kind in "iu" and value.flags.writeable and len(value) <= MOST_SAMPLES
    whole = type(value) is Tensor and not value.dtype.is_floating_point and not value.dtype.is_complex
    return whole and value.dim() == 1 and len(value) <= MOST_SAMPLES  # type: ignore[attr-defined, arg-type]


def _write_back(order: Any, held: Any) -> None:
    order[...] = held


def _each_once(things: Iterable[Any]) -> list[Any]:
    return list({id(thing): thing for thing in things}.values())
