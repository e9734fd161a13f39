"""Functions of torch that stand replaced while somebody listens to them, and are put back afterwards."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

Listener = TypeVar("Listener")
Functions = dict[str, Callable[..., Any]]


class Listeners(Generic[Listener]):
    """Held weakly, in the order in which they came. Others may come and go, on any thread, while one goes through."""

    def __init__(self) -> None:
        self._all: dict[int, weakref.ref[Listener]] = {}  # by identity; some may be gone

    def __iter__(self) -> Iterator[Listener]:
        return iter([one for held in list(self._all.values()) if (one := held()) is not None])

    def add(self, listener: Listener) -> None:
        """Once, however often it is added."""
        self._all[id(listener)] = weakref.ref(listener)

    def discard(self, listener: Listener) -> None:
        """Safe where it is none of them."""
        self._all.pop(id(listener), None)


class Tapped(Generic[Listener]):
    """Attributes of `owner` by name, replaced from the first listener to the last one that leaves, or is gone.

    `replace` makes the new functions from the old ones, by name, and from those who listen. Where this torch has no
    such attributes, nothing is replaced and nothing is heard. Where somebody has put theirs in the place of ours
    meanwhile, theirs stay; what they still call of ours then calls the old function only.
    """

    def __init__(
        self, owner: object, names: tuple[str, ...], replace: Callable[[Functions, Listeners[Listener]], Functions]
    ) -> None:
        self._owner = owner
        self._names = names
        self._replace = replace
        self._listeners: Listeners[Listener] = Listeners()
        self._originals: Functions = {}
        self._ours: Functions = {}

    def __iter__(self) -> Iterator[Listener]:
        return iter(self._listeners)

    def add(self, listener: Listener) -> None:
        """Listen from now on."""
        self._listeners.add(listener)
        weakref.finalize(listener, self._put_back_where_nobody_listens).atexit = False
        if not self._ours and all(hasattr(self._owner, name) for name in self._names):
            self._originals = {name: getattr(self._owner, name) for name in self._names}
            self._ours = self._replace(self._originals, self._listeners)
            self._set(self._ours)

    def discard(self, listener: Listener) -> None:
        """Listen no longer; safe to call twice."""
        self._listeners.discard(listener)
        self._put_back_where_nobody_listens()

    def _put_back_where_nobody_listens(self) -> None:
        if list(self._listeners):
            return
        if all(getattr(self._owner, name) is ours for name, ours in self._ours.items()):
            self._set(self._originals)
        self._originals, self._ours = {}, {}
        self._listeners = Listeners()  # what is left of ours, behind somebody else's, goes on without any

    def _set(self, functions: Functions) -> None:
        for name, function in functions.items():
            setattr(self._owner, name, function)
