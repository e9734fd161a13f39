"""`torch.jit.script` on a model that is being watched: our hooks step aside while it compiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn
from torch.jit import _recursive

from diagnose.hooks.guard import is_ours
from diagnose.hooks.tapping import Functions, Listeners, Tapped


class ScriptingTap:
    """Scripting compiles a module's hooks along with it, which ours are not made for: they step aside."""

    def __init__(self) -> None:
        _SCRIPTING.add(self)

    def close(self) -> None:
        """Tap no longer; safe to call twice."""
        _SCRIPTING.discard(self)


def _without_our_hooks(originals: Functions, _: Listeners[ScriptingTap]) -> Functions:
    create = originals["create_script_module"]

    def create_script_module(module: nn.Module, *rest: Any, **keywords: Any) -> Any:
        with ExitStack() as stack:
            for part in module.modules():
                for hooks in (part._forward_hooks, part._forward_pre_hooks):
                    if any(map(is_ours, hooks.values())):
                        stack.enter_context(_aside(hooks))
            return create(module, *rest, **keywords)

    return {"create_script_module": create_script_module}


_SCRIPTING: Tapped[ScriptingTap] = Tapped(_recursive, ("create_script_module",), _without_our_hooks)


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
