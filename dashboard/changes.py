"""What has changed since a page last asked: it is sent that, never the whole list again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from secrets import token_hex
from threading import Lock
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

MOST_GONE: Final = 10_000


class Named(Protocol):
    """Whatever has a name."""

    @property
    def name(self) -> str:
        """By which it is known from one look to the next."""


One = TypeVar("One", bound=Named)


class Changes(NamedTuple, Generic[One]):
    """What came or changed since a revision and what is gone; `whole` where that is everything there is."""

    revision: str
    changed: list[One]
    gone: list[str]
    whole: bool

    @property
    def any(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.whole or self.changed or self.gone)


@dataclass
class _Last(Generic[One]):
    one: One
    number: int


class Ledger(Generic[One]):
    """The last of each by name, and when it changed; what is the same object as before has not."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._series = token_hex(4)  # a page may have outlived the server that it asks
        self._number = 0
        self._last: dict[str, _Last[One]] = {}
        self._gone: dict[str, int] = {}
        self._told_since = 0  # what went before is no longer known
        self._asked = 0

    def take(self, current: Iterable[One], asked: int) -> None:
        """All there are now; what was `asked` for before what is known, but came late, tells nothing."""
        with self._lock:
            if asked < self._asked:
                return
            self._asked = asked
            self._number += 1
            before, self._last = self._last, {}
            for one in current:
                known = before.pop(one.name, None)
                self._last[one.name] = known if known is not None and known.one is one else _Last(one, self._number)
                self._gone.pop(one.name, None)
            self._gone |= dict.fromkeys(before, self._number)
            self._forget()

    def _forget(self) -> None:
        """Of too many that are gone, the older half; a page that knows no more than these is told everything."""
        if len(self._gone) > MOST_GONE:
            older = sorted(self._gone, key=lambda name: self._gone[name])[: len(self._gone) // 2]
            self._told_since = max(self._gone.pop(name) for name in older)

    def since(self, revision: str = "") -> Changes[One]:
        """What has changed since `revision`, which an earlier answer gave; all where it is unknown."""
        with self._lock:
            series, _, told = revision.partition(":")
            known = series == self._series and told.isdecimal() and int(told) >= self._told_since
            number = int(told) if known else -1
            return Changes(
                f"{self._series}:{self._number}",
                [last.one for last in self._last.values() if last.number > number],
                [name for name, when in self._gone.items() if known and when > number],
                not known,
            )
