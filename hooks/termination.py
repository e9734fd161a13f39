"""SIGTERM: what a cluster sends before it takes a machine away. Before it ends, the run is written and told of."""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections.abc import Callable
from types import FrameType

from diagnose.endings import Ending
from diagnose.hooks.stream import Stream

LAST_WORDS_S = 5.0  # that findings have to reach whom they are told; clusters kill half a minute after SIGTERM

_streams: weakref.WeakKeyDictionary[Stream, weakref.WeakMethod[Callable[[], None]]] = weakref.WeakKeyDictionary()


def flush_on_sigterm(stream: Stream, tell: Callable[[], None]) -> None:
    """Have `stream` closed when the process is asked to terminate, which then goes on as it would have.

    The method `tell` is called once it is closed, for what was found and is not told yet.

    Only where nobody handles the signal: a program with a handler of its own ends by itself, and the
    stream with it. Does nothing off the main thread, where handlers cannot be set.
    """
    _streams[stream] = weakref.WeakMethod(tell)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _close_and_terminate)


def forget(stream: Stream) -> None:
    """The stream is closed; the last one to go leaves the signal as it was found."""
    _streams.pop(stream, None)
    ours = signal.getsignal(signal.SIGTERM) is _close_and_terminate
    if not _streams and ours and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _close_and_terminate(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    try:
        ours = {stream: tell for stream, tell in _streams.items() if stream.is_of_this_process}
        for stream in ours:
            stream.close(Ending("stopped", signal.Signals(number).name))
        # On a thread, as the code that was interrupted may hold a lock that a receiver waits for.
        telling = threading.Thread(target=_tell, args=[list(ours.values())], daemon=True)
        telling.start()
        telling.join(LAST_WORDS_S)
    finally:
        os.kill(os.getpid(), number)


def _tell(methods: list[weakref.WeakMethod[Callable[[], None]]]) -> None:
    for method in methods:
        tell = method()
        if tell is not None:
            tell()
