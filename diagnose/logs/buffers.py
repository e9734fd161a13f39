"""Arrays that grow as a file does, and are one array where several tags would hold the same.

The signals of one event have its step and its wall time in common: a run of a million steps and twenty signals holds
its steps once, not twenty times.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SMALLEST: Final = 16  # values that a new array has room for

_Key = tuple[str, int, int, int, int, int]


class Buffer:
    """An array with room to grow; what was read from it stays valid, since nothing in it is ever changed."""

    def __init__(self, dtype: type[np.generic], width: int | None = None) -> None:
        self._width = width
        self._array: NDArray[Any] = np.empty((0,) if width is None else (0, width), dtype)
        self._length = 0

    @classmethod
    def of(cls, values: NDArray[Any]) -> Buffer:
        """One that begins with these, which are not copied, and never written to."""
        buffer = cls(values.dtype.type, values.shape[1] if values.ndim > 1 else None)
        buffer._array, buffer._length = values, len(values)
        return buffer

    def __len__(self) -> int:
        return self._length

    @property
    def values(self) -> NDArray[Any]:
        """A view of what is there, which nobody can write to."""
        view = self._array[: self._length]
        view.flags.writeable = False
        return view

    def extend(self, values: NDArray[Any]) -> None:
        """Add values, or rows, behind the others."""
        end = self._length + len(values)
        if end > len(self._array):
            room = max(SMALLEST, end if not self._length else end + end // 2)
            larger = np.empty((room, *self._array.shape[1:]), self._array.dtype)
            larger[: self._length] = self._array[: self._length]
            self._array = larger
        self._array[self._length : end] = values
        self._length = end

    def goes_on(self, length: int, values: NDArray[Any]) -> bool:
        """Whether, behind the first `length` values, these are there, or can be once it has grown."""
        there = self._array[length : min(self._length, length + len(values))]
        return not len(there) or np.array_equal(_bits(there), _bits(values[: len(there)]))


class Twins:
    """Has buffers grow, and remembers what became of them: for as long as columns grow by what was read at once."""

    def __init__(self) -> None:
        self._grown: dict[_Key, tuple[Buffer, Buffer]] = {}  # the buffer before, and behind

    def grown(self, buffer: Buffer, length: int, values: NDArray[Any]) -> Buffer:
        """One that holds the first `length` of the buffer's values, and these behind: the same where that can be."""
        if length and buffer.goes_on(length, values):
            buffer.extend(values[len(buffer) - length :])
            return buffer
        before, bits = buffer if length else _NOTHING, _bits(values)  # what all that begin have in common is nothing
        key = values.dtype.char, id(before), length, len(values), int(bits[0]), int(bits[-1])
        known = self._grown.get(key)
        if known is not None and known[0] is before and known[1].goes_on(length, values):
            return known[1]
        grown = Buffer(values.dtype.type)
        grown.extend(buffer.values[:length])
        grown.extend(values)
        self._grown[key] = before, grown
        return grown


_NOTHING: Final = Buffer(np.int64)


def _bits(values: NDArray[Any]) -> NDArray[np.int64]:
    """In which NaN is itself, and minus zero another than zero."""
    return values.view(np.int64)
