"""Functions of torch that stand replaced while somebody listens to them, and are put back afterwards."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

Listener = TypeVar("Listener")
Functions = dict[str, Callable[..., Any]]


class Tapped(Generic[Listener]):
    """Attributes of `owner` by name, replaced from the first listener to the last one that leaves.

    `replace` makes the new functions from the old ones, by name. Listeners are held weakly: one that is gone has
    left. Where this torch has no such attributes, nothing is replaced and nothing is heard. Where somebody has
    replaced ours by theirs, ours stay behind them, with nobody listening.
    """

    def __init__(self, owner: object, names: tuple[str, ...], replace: Callable[[Functions], Functions]) -> None:
        self._owner = owner
        self._names = names
        self._replace = replace
        self._listeners: weakref.WeakSet[Any] = weakref.WeakSet()
        self._originals: Functions = {}
        self._ours: Functions = {}

    def __iter__(self) -> Iterator[Listener]:
        return iter(list(self._listeners))

    def add(self, listener: Listener) -> None:
        """Listen from now on."""
        self._listeners.add(listener)
        weakref.finalize(listener, self._put_back_where_nobody_listens).atexit = False
        if not self._originals and all(hasattr(self._owner, name) for name in self._names):
            self._originals = {name: getattr(self._owner, name) for name in self._names}
            self._ours = self._replace(self._originals)
            self._set(self._ours)

    def discard(self, listener: Listener) -> None:
        """Listen no longer; safe to call twice."""
        self._listeners.discard(listener)
        self._put_back_where_nobody_listens()

    def _put_back_where_nobody_listens(self) -> None:
        known = (self._ours, self._originals)
        theirs = any(all(getattr(self._owner, name) is not one[name] for one in known) for name in self._ours)
        if theirs or list(self):  # the set itself may still count one that is going
            return
        self._set(self._originals)
        self._originals = self._ours = {}

    def _set(self, functions: Functions) -> None:
        for name, function in functions.items():
            setattr(self._owner, name, function)
