"""SIGTERM: what a cluster sends before it takes a machine away. The last steps are written first."""

from __future__ import annotations

import os
import signal
import threading
import weakref
from types import FrameType

from diagnose.endings import Ending
from diagnose.hooks.stream import Stream

_streams: weakref.WeakSet[Stream] = weakref.WeakSet()


def flush_on_sigterm(stream: Stream) -> None:
    """Have `stream` closed when the process is asked to terminate, which then goes on as it would have.

    Only where nobody handles the signal: a program with a handler of its own ends by itself, and the
    stream with it. Does nothing off the main thread, where handlers cannot be set.
    """
    _streams.add(stream)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _close_and_terminate)


def forget(stream: Stream) -> None:
    """The stream is closed; the last one to go leaves the signal as it was found."""
    _streams.discard(stream)
    ours = signal.getsignal(signal.SIGTERM) is _close_and_terminate
    if not _streams and ours and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _close_and_terminate(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    try:
        for stream in list(_streams):
            stream.close(Ending("stopped", signal.Signals(number).name))
    finally:
        os.kill(os.getpid(), number)
