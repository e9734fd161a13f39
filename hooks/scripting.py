"""`torch.jit.script` on a model that is being watched: our hooks step aside while it compiles."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

from torch import nn
from torch.jit import _recursive

from diagnose.hooks.guard import is_ours


class ScriptingTap:
    """Scripting compiles a module's hooks along with it, which ours are not made for.

    The function inside `torch.jit.script` is replaced while at least one tap is open, and put back when the
    last one closes.
    """

    _open: ClassVar[weakref.WeakSet[ScriptingTap]] = weakref.WeakSet()
    _original: ClassVar[Callable[..., Any] | None] = None

    def __init__(self) -> None:
        self._open.add(self)
        if ScriptingTap._original is None:
            ScriptingTap._original = original = _recursive.create_script_module
            _recursive.create_script_module = _without_our_hooks(original)

    def close(self) -> None:
        """Tap no longer; safe to call twice."""
        self._open.discard(self)
        if not self._open and ScriptingTap._original is not None:
            _recursive.create_script_module = ScriptingTap._original
            ScriptingTap._original = None


def _without_our_hooks(create: Callable[..., Any]) -> Callable[..., Any]:
    def create_script_module(module: nn.Module, *rest: Any, **keywords: Any) -> Any:
        with ExitStack() as stack:
            for part in module.modules():
                for hooks in (part._forward_hooks, part._forward_pre_hooks):
                    if any(map(is_ours, hooks.values())):
                        stack.enter_context(_aside(hooks))
            return create(module, *rest, **keywords)

    return create_script_module


@contextmanager
def _aside(hooks: MutableMapping[int, Callable[..., Any]]) -> Iterator[None]:
    """Without our hooks within; all hooks in their order again afterwards."""
    whole = dict(hooks)
    for key, hook in whole.items():
        if is_ours(hook):
            del hooks[key]
    try:
        yield
    finally:
        hooks.clear()
        hooks.update(whole)
