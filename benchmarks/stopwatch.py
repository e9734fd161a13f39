"""Self time: the seconds that the training's own thread spends inside what watches it."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from diagnose.hooks.course import Course
from diagnose.hooks.guard import Hook
from diagnose.hooks.loader_indices import LoaderTap
from diagnose.hooks.monitor import Monitor
from diagnose.hooks.probes.clipping import ClippingTap
from diagnose.hooks.probes.noise import NoiseProbe

# Where the training's thread enters our code. A scaler's skipped step is one of them, its `step` is not: that one
# is the user's own work.
DOORS = (
    (Hook, "__call__"),
    (Monitor, "_before_step"),
    (Monitor, "_after_step"),
    (Monitor, "log"),
    (Course, "_skipped_step"),
    (ClippingTap, "hear_norm"),
    (ClippingTap, "hear_values"),
    (NoiseProbe, "_take_local"),
    (LoaderTap, "hear"),
)


class Stopwatch:
    """Adds up the time of the calls it was given, on the thread that made it; a call within a call counts once.

    The stopwatch costs about half a microsecond a call, which is counted too.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._running = False
        self._thread = threading.get_ident()

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its calls measured."""

        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            if self._running or threading.get_ident() != self._thread:
                return function(*arguments, **keywords)
            self._running = True
            time.perf_counter()  # after a step the clock itself is cold: that is not what is measured
            start = time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                self.seconds += time.perf_counter() - start
                self._running = False

        return call

    @contextmanager
    def on(self, *doors: tuple[object, str]) -> Iterator[None]:
        """Measure the functions that stand under these names; they are put back at the end.

        Enter before attaching: a hook that is a bound method keeps the function that its class had then.
        """
        with ExitStack() as stack:
            for owner, name in doors:
                stack.enter_context(mock.patch.object(owner, name, self.timed(getattr(owner, name))))
            yield
