"""Which modules count as layers, in which order, and which parameters belong to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from diagnose.hooks.collectives import has_other_ranks

# Modules that shape a signal without owning parameters; the first of them to run after a layer is its activation.
ACTIVATIONS = (
    nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh,
    nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.ReLU6, nn.Softplus, nn.Softsign, nn.Softmax, nn.GLU,
)  # fmt: skip


class LayerTable:
    """The model's layers: every module that owns parameters itself, in the order of the forward pass.

    The order is that of registration until `reorder` was told in which order modules really ran.
    A parameter that two modules share belongs to the first of them.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.modules: list[tuple[str, nn.Module]] = [
            (name, module) for name, module in model.named_modules() if owns_parameters(module)
        ]
        # Kept from the start: during a forward pass FSDP has other parameters in their place.
        self._owned = {id(module): list(module.parameters(recurse=False)) for _, module in self.modules}
        self.activations: dict[str, str] = {}
        self.first_weights: dict[str, dict[str, float]] = {}  # statistics by layer, as they were first described
        self._index()

    def __len__(self) -> int:
        return len(self.modules)

    def reorder(self, calls: Sequence[nn.Module]) -> None:
        """Sort by first call; layers that were not called keep their place behind. Finds each layer's activation."""
        rank = {id(module): number for number, module in reversed(list(enumerate(calls)))}
        self.modules.sort(key=lambda entry: rank.get(id(entry[1]), len(calls)))
        names = {id(module): name for name, module in self.modules}
        latest = ""
        for module in calls:
            if isinstance(module, ACTIVATIONS):
                if latest:
                    self.activations.setdefault(latest, type(module).__name__)
            elif id(module) in names:
                latest = names[id(module)]
        self._index()

    def place_of(self, module: nn.Module) -> int:
        """The place of a layer in the order."""
        return self._place[id(module)]

    def layer_of(self, parameter: Tensor) -> int:
        """The place of the layer that owns the parameter."""
        return self._layer_of[id(parameter)]

    def _index(self) -> None:
        self.parameters: list[nn.Parameter] = []  # each once, by layer
        self._layer_of: dict[int, int] = {}
        self._place = {id(module): place for place, (_, module) in enumerate(self.modules)}
        for place, (_, module) in enumerate(self.modules):
            for parameter in self._owned[id(module)]:
                if id(parameter) not in self._layer_of:
                    self._layer_of[id(parameter)] = place
                    self.parameters.append(parameter)


class ForwardOrder:
    """Notes the order in which modules run during one forward pass, then leaves no trace."""

    def __init__(self, model: nn.Module) -> None:
        self.calls: list[nn.Module] = []
        self._handles = [
            module.register_forward_hook(self._note)
            for module in model.modules()
            if owns_parameters(module) or isinstance(module, ACTIVATIONS)
        ]

    def _note(self, module: nn.Module, _args: Any, _output: Any) -> None:
        self.calls.append(module)

    def finish(self) -> list[nn.Module]:
        """Remove the hooks and return the modules in the order of their calls."""
        for handle in self._handles:
            handle.remove()
        return self.calls


def owns_parameters(module: nn.Module) -> bool:
    """Whether the module has parameters of its own, beside those of its children."""
    return next(module.parameters(recurse=False), None) is not None


def unwrapped(model: nn.Module) -> nn.Module:
    """The user's own module inside DistributedDataParallel, DataParallel and torch.compile."""
    while True:
        inner = getattr(model, "_orig_mod", None) or (
            model.module if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel) else None
        )
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def replicas(model: nn.Module) -> int:
    """The number of ranks whose gradients DistributedDataParallel averages; 1 for any other model."""
    averaging = _averaging(model)
    return 1 if averaging is None else dist.get_world_size(averaging.process_group)


def shares_unseen(model: nn.Module) -> bool:
    """Whether other ranks may take part in the model's gradients without the model telling."""
    return has_other_ranks() and _averaging(model) is None


def _averaging(model: nn.Module) -> nn.parallel.DistributedDataParallel | None:
    """The wrapper that averages the model's gradients, be it compiled or not."""
    model = getattr(model, "_orig_mod", model)
    return model if isinstance(model, nn.parallel.DistributedDataParallel) else None


def is_compiled(model: nn.Module) -> bool:
    """Whether the model's forward runs as a compiled graph."""
    inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel) else model
    return hasattr(inner, "_orig_mod") or inner._compiled_call_impl is not None


def is_being_captured() -> bool:
    """Whether what is launched now is recorded into a CUDA graph: it will be replayed without any hook running."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()  # type: ignore[no-untyped-call]


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of a module's output, also in tuples, lists and mappings; None where there is none."""
    return next(tensors_in(output), None)


def batch_of(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Tensor | None:
    """The first tensor among a module's inputs, whose first dimension is taken to be the batch."""
    if arguments and isinstance(arguments[0], Tensor):
        return arguments[0]
    return first_tensor((arguments, keywords))


def tensors_in(output: Any) -> Iterator[Tensor]:
    """All tensors of a module's inputs or output, in tuples, lists and mappings too."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, tuple | list):
        for part in output:
            yield from tensors_in(part)
    elif isinstance(output, Mapping):
        yield from tensors_in(list(output.values()))


def device_of(model: nn.Module) -> torch.device:
    """The device of the model's first parameter or buffer; the CPU where it has neither."""
    first = next(iter([*model.parameters(), *model.buffers()]), None)
    return first.device if first is not None else torch.device("cpu")
