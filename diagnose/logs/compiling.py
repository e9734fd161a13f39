"""What is compiled by Numba when it is first used on a machine, and kept for the next time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

_njit: Any = njit  # its type does not know of `_nrt`
_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """The function at compiled speed; kept in a file where there is a place for one."""
    return _kept(function)


def compiled_lean(function: _Function) -> _Function:
    """The same of a function that makes no array: references to its arguments are not counted, at half the time."""
    return _kept(function, _nrt=False)


def inlined(function: _Function) -> _Function:
    """Compiled anew as a part of each such function that calls it."""
    return cast("_Function", _njit(inline="always", _nrt=False)(function))


def _kept(function: _Function, **options: bool) -> _Function:
    try:
        return cast("_Function", _njit(cache=True, **options)(function))
    except RuntimeError:  # no place to keep it in
        return cast("_Function", _njit(**options)(function))
