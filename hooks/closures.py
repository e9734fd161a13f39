"""`optimizer.step(closure)`: the gradients are there only once the closure has run, inside the step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Arguments = tuple[tuple[Any, ...], dict[str, Any]]  # of `step`, the optimizer first


def heard(arguments: tuple[Any, ...], keywords: dict[str, Any], listener: Callable[[], None]) -> Arguments | None:
    """The arguments with a closure that calls `listener` after its first run; None where there is no closure.

    Optimizers that search along a line (LBFGS) call it again: only the first run is at the step's own weights.
    """
    if callable(keywords.get("closure")):
        return arguments, {**keywords, "closure": _Heard(keywords["closure"], listener)}
    if len(arguments) > 1 and callable(arguments[1]):
        return (arguments[0], _Heard(arguments[1], listener), *arguments[2:]), keywords
    return None


class _Heard:
    """Stands for the closure, and gives what it gives."""

    def __init__(self, closure: Callable[..., Any], listener: Callable[[], None]) -> None:
        self._closure = closure
        self._listener: Callable[[], None] | None = listener

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        result = self._closure(*arguments, **keywords)
        listener, self._listener = self._listener, None
        if listener is not None:
            listener()
        return result
