"""What modules carry, put aside for a while: they work on copies, and have their own back afterwards."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# What torch itself keeps in a module: hooks and children, which stay. Parameters and buffers are copied.
LEFT_ALONE = frozenset(vars(nn.Module())) - {"training", "_parameters", "_buffers"}


@contextmanager
def put_aside(modules: Iterable[nn.Module], stand_ins: Mapping[nn.Parameter, Tensor]) -> Iterator[None]:
    """Within, the modules have `stand_ins` for these parameters, and copies of all other tensors.

    Afterwards their attributes are what they were, lists, dictionaries and sets among them hold what they
    held, and generators continue from where they stood. Only what other objects keep stays changed.
    """
    with ExitStack() as undo:
        belongings = _Belongings(undo, {id(parameter): tensor for parameter, tensor in stand_ins.items()})
        for module in modules:
            belongings.replace_in(module)
        yield


@contextmanager
def rewound(*things: object) -> Iterator[None]:
    """Within, these objects may change what they carry; afterwards it is what it was.

    Attributes, what stands in lists, dictionaries and sets among them, and generators come back. What other objects
    keep, and what is written into arrays, stays changed.
    """
    with ExitStack() as undo:
        for thing in things:
            held = dict(getattr(thing, "__dict__", {}))
            if held:
                undo.callback(_reset, vars(thing), held)
            for value in (thing, *held.values()):
                back = _rewind_of(value)
                if back is not None:
                    undo.callback(back)
                elif isinstance(value, list | deque | set):
                    undo.callback(_refill, value, list(value))
                elif isinstance(value, dict):
                    undo.callback(_reset, value, dict(value))
        yield


def copy_of(tensor: Tensor) -> Tensor:
    """A copy outside any graph, which may be differentiated by where the tensor itself may."""
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


class _Belongings:
    """Replaces what it meets, each thing once, and leaves in `undo` what brings it back."""

    def __init__(self, undo: ExitStack, stand_ins: dict[int, Any]) -> None:
        self._undo = undo
        self._stand_ins = stand_ins  # by the original's id: what is shared stays shared
        self._met: set[int] = set()

    def replace_in(self, module: nn.Module) -> None:
        """The module, its children, and modules that it hides in an attribute or a list."""
        if self._first_time(module):
            self._replace_values(vars(module), LEFT_ALONE)
            for child in module.children():
                self.replace_in(child)

    def _stand_in(self, value: Any) -> Any:
        """What stands in the value's place meanwhile; most often the value itself."""
        if id(value) in self._stand_ins:
            return self._stand_ins[id(value)]
        if isinstance(value, Tensor):
            # No weight that counts is without a stand-in: what is left of the parameters are constants.
            copy = value.detach().clone() if isinstance(value, nn.Parameter) else copy_of(value)
            return self._stand_ins.setdefault(id(value), copy)
        if isinstance(value, np.ndarray):
            return self._stand_ins.setdefault(id(value), value.copy())
        if isinstance(value, tuple):
            parts = [self._stand_in(part) for part in value]
            return value if all(map(_same, parts, value)) else _tuple_like(value, parts)
        self._protect(value)
        return value

    def _protect(self, value: Any) -> None:
        """See to it that an object which stays in place is afterwards as it was."""
        if isinstance(value, nn.Module):
            self.replace_in(value)
        elif isinstance(value, dict) and self._first_time(value):
            self._replace_values(value)
        elif isinstance(value, list | deque) and self._first_time(value):
            held = list(value)
            self._undo.callback(_refill, value, held)
            for place, part in enumerate(held):
                value[place] = self._stand_in(part)
        elif isinstance(value, set) and self._first_time(value):
            self._undo.callback(_refill, value, list(value))
        else:
            rewind = _rewind_of(value)
            if rewind is not None and self._first_time(value):
                self._undo.callback(rewind)

    def _replace_values(self, values: dict[Any, Any], left_alone: frozenset[str] = frozenset()) -> None:
        held = dict(values)
        self._undo.callback(_reset, values, held)
        for name, value in held.items():
            if name not in left_alone:
                stand_in = self._stand_in(value)
                if stand_in is not value:
                    values[name] = stand_in

    def _first_time(self, thing: object) -> bool:
        new = id(thing) not in self._met
        self._met.add(id(thing))
        return new


def _reset(values: dict[Any, Any], held: dict[Any, Any]) -> None:
    for name in [name for name in values if name not in held]:
        del values[name]
    values.update(held)


def _refill(values: Any, held: list[Any]) -> None:
    if len(values) != len(held) or not all(map(_same, values, held)):
        values.clear()
        values.update(held) if isinstance(values, set) else values.extend(held)


def _same(one: object, other: object) -> bool:
    return one is other


def _tuple_like(value: Any, parts: list[Any]) -> Any:
    return value._make(parts) if hasattr(value, "_make") else tuple(parts)


def _rewind_of(value: object) -> Callable[[], object] | None:
    """What puts a random generator back to where it stands now; None for anything else."""
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    if isinstance(value, np.random.Generator):
        return partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return partial(value.setstate, value.getstate())
    return None
