"""How training ended, as far as the process that trained can tell when its log is closed."""

from __future__ import annotations

import itertools
import sys
from typing import Final

from diagnose.endings import FINISHED, Ending
from diagnose.errors import TrainingHalted
from diagnose.logs.ending_text import LONGEST

_BY_ITSELF: Final = (StopIteration, StopAsyncIteration, GeneratorExit)  # how loops end that have come to their end
_FROM_OUTSIDE: Final = (KeyboardInterrupt, SystemExit, TrainingHalted)
_BEFORE: Final = "_diagnose_before"  # on an exception: the witnesses that have found it there

_numbers = itertools.count()


class Witness:
    """Made where training begins: an error that was there already, such as one that is being retried, ends nothing."""

    def __init__(self) -> None:
        self._number = next(_numbers)
        # Told on the error itself: held here it would hold its frames, and its place in memory may be another's soon.
        for error in (sys.exception(), _uncaught()):
            if error is not None:
                vars(error).setdefault(_BEFORE, set()).add(self._number)

    def ending(self, error: BaseException | None = None) -> Ending:
        """By that error, else by one that is on its way through the caller, or has ended the process's main thread."""
        for one in (error, sys.exception(), _uncaught()):
            if one is not None and not self._was_there(one):
                return ended_by(one)
        return FINISHED

    def at_exit(self) -> Ending:
        """By an error that nobody caught. For whoever cannot know what an error on its way has to do with training."""
        error = _uncaught()
        return FINISHED if error is None or self._was_there(error) else ended_by(error)

    def _was_there(self, error: BaseException) -> bool:
        return self._number in vars(error).get(_BEFORE, ())


def ended_by(error: BaseException) -> Ending:
    """What an exception that left the training says of its end."""
    if isinstance(error, _BY_ITSELF) or (isinstance(error, SystemExit) and not error.code):
        return FINISHED
    return Ending("stopped" if isinstance(error, _FROM_OUTSIDE) else "crashed", type(error).__name__, _message(error))


def _uncaught() -> BaseException | None:
    """What the interpreter has printed a traceback of and is about to end with; a prompt goes on after any error."""
    if sys.flags.interactive or hasattr(sys, "ps1"):
        return None
    return getattr(sys, "last_value", None)


def _message(error: BaseException) -> str:
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # noqa: BLE001  a stranger's exception need not have a text
        return ""
    return lines[0][:LONGEST] if lines else ""
