"""The wall between us and the training loop: no exception of ours crosses it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch

logger = logging.getLogger("diagnose")

STEPS = "steps"  # the name of what everything else hangs on


class Guard:
    """Runs our code inside someone's training; what fails is switched off, with one warning that names it."""

    def __init__(self) -> None:
        self.off: set[str] = set()  # the names of what has failed
        self.stopped = False
        self._kept: frozenset[str] = frozenset()
        self._told: set[str] = set()

    def keep(self, *names: str) -> None:
        """Warn of what these raise, but go on with them: other ranks wait for this one there."""
        self._kept = frozenset(names)

    def stop(self, reason: str) -> None:
        """Run nothing any more; one warning says why."""
        if not self.stopped:
            self.stopped = True
            self.off.add(reason)
            logger.warning("diagnose: this run is no longer watched: %s.", reason)

    def switch_off(self, name: str, error: Exception) -> None:
        """Never run `name` again, unless it is kept; one warning says what it raised. Nothing works without steps."""
        if name in self._told:
            return
        if name == STEPS and name not in self._kept:
            self.stop(f"{type(error).__name__}: {error}")
            return
        self._told.add(name)
        if name not in self._kept:
            self.off.add(name)
        outcome = "failed" if name in self._kept else "is switched off"
        logger.warning("diagnose: %s %s: %s: %s", name, outcome, type(error).__name__, error)

    def run(self, name: str, work: Callable[..., None], *arguments: Any) -> None:
        """Call `work(*arguments)`; after its first exception `name` is never called again."""
        if self.stopped or name in self.off:
            return
        try:
            work(*arguments)
        except Exception as error:  # noqa: BLE001  whatever it is, training goes on
            self.switch_off(name, error)


class Hook:
    """A hook that a model can carry: a copy or a pickle of the model carries an empty one instead.

    Hooks live in a module's attributes, so `copy.deepcopy(model)` (an EMA copy, say) and
    `torch.save(model)` would otherwise drag the monitor and its threads along.
    """

    _asleep: ClassVar[int] = 0

    def __init__(self, guard: Guard, name: str, work: Callable[..., None]) -> None:
        self._guard = guard
        self._name = name
        self._work = work

    def __call__(self, *arguments: Any) -> None:
        """Run the guarded work; returns None, so that inputs and outputs stay as they are.

        Inside a compiled, traced or transformed model (torch.func) there is nothing to see, and a hook must
        not become part of it.
        """
        if (
            torch.compiler.is_compiling()
            or Hook._asleep
            or torch._C._is_tracing()
            or torch._C._are_functorch_transforms_active()
        ):
            return
        guard = self._guard
        if guard.off and (guard.stopped or self._name in guard.off):
            return
        try:
            self._work(*arguments)
        except Exception as error:  # noqa: BLE001  whatever it is, training goes on
            guard.switch_off(self._name, error)

    @classmethod
    def asleep(cls) -> bool:
        """Whether the model runs beside its training, and nothing of it is to be seen."""
        return cls._asleep > 0

    @classmethod
    @contextmanager
    def sleeping(cls) -> Iterator[None]:
        """No hook of ours, of whichever monitor, does anything within."""
        Hook._asleep += 1
        try:
            yield
        finally:
            Hook._asleep -= 1

    def __reduce__(self) -> tuple[type[_Empty], tuple[()]]:
        return (_Empty, ())


class _Empty:
    """What a copied or unpickled model carries in place of our hook."""

    def __call__(self, *_: Any, **__: Any) -> None:
        """Do nothing."""


def is_ours(hook: object) -> bool:
    """Whether a hook on a module is one of this package's."""
    return isinstance(hook, Hook | _Empty)
