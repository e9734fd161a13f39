"""How a run's training ended, as its log tells: by itself, stopped from outside, or by an error of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

How = Literal["finished", "stopped", "crashed"]
WAYS: Final[tuple[How, ...]] = get_args(How)


@dataclass(frozen=True)
class Ending:
    """`by` is the signal or the exception's type, `message` the exception's first line; both empty if finished."""

    how: How
    by: str = ""
    message: str = ""

    @property
    def told(self) -> str:
        """In a few words: "ended by RuntimeError: out of memory"; "" where training ended by itself."""
        if self.how == "finished":
            return ""
        return f"ended by {self.by}{f': {self.message}' if self.message else ''}"


FINISHED: Final = Ending("finished")
UNTOLD: Final = Ending("stopped", "something that the log does not name")
