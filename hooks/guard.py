"""The wall between us and the training loop: no exception of ours crosses it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch

logger = logging.getLogger("diagnose")


class Guard:
    """Runs our code inside someone's training; what fails is switched off, with one warning that names it."""

    def __init__(self) -> None:
        self.switched_off: set[str] = set()

    def run(self, name: str, work: Callable[..., None], *arguments: Any) -> None:
        """Call `work(*arguments)`; after its first exception `name` is never called again."""
        if name in self.switched_off:
            return
        try:
            work(*arguments)
        except Exception as error:  # noqa: BLE001  whatever it is, training goes on
            self.switched_off.add(name)
            logger.warning("diagnose: %s is switched off: %s: %s", name, type(error).__name__, error)


class Hook:
    """A hook that a model can carry: a copy or a pickle of the model carries an empty one instead.

    Hooks live in a module's attributes, so `copy.deepcopy(model)` (an EMA copy, say) and
    `torch.save(model)` would otherwise drag the monitor and its threads along.
    """

    def __init__(self, guard: Guard, name: str, work: Callable[..., None]) -> None:
        self._guard = guard
        self._name = name
        self._work = work

    def __call__(self, *arguments: Any, **keywords: Any) -> None:
        """Run the guarded work; returns None, so that inputs and outputs stay as they are.

        Inside a compiled model there is nothing to see, and a hook must not break its graph.
        """
        if torch.compiler.is_compiling():
            return
        self._guard.run(self._name, self._work, *arguments, *keywords.values())

    def __reduce__(self) -> tuple[type[_Empty], tuple[()]]:
        return (_Empty, ())


class _Empty:
    """What a copied or unpickled model carries in place of our hook."""

    def __call__(self, *_: Any, **__: Any) -> None:
        """Do nothing."""
