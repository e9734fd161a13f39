"""Arrays that grow as a file does, and are one array where several tags would hold the same.

The signals of one event have its step and its wall time in common: a run of a million steps and twenty signals holds
its steps once, not twenty times.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SMALLEST: Final = 16  # values that a new array has room for

_Key = tuple[int, int, int, bytes, bytes]


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
        return self.first(self._length)

    def first(self, length: int) -> NDArray[Any]:
        """The same of the first ones."""
        view = self._array[:length]
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
        return not len(there) or there.tobytes() == values[: len(there)].tobytes()  # NaN is itself so


class Twins:
    """Has buffers grow, and remembers what became of them: for as long as columns grow by what was read at once."""

    def __init__(self) -> None:
        self._grown: dict[_Key, tuple[Buffer, Buffer]] = {}  # the buffer before, and behind

    def grown(self, buffer: Buffer, length: int, values: NDArray[Any]) -> Buffer:
        """One that holds the first `length` of the buffer's values, and these behind: the same where that can be.

        What begins has nothing of its own: columns share one buffer then, which stays empty.
        """
        if length and buffer.goes_on(length, values):
            buffer.extend(values[len(buffer) - length :])
            return buffer
        key = id(buffer), length, len(values), values[0].tobytes(), values[-1].tobytes()
        known = self._grown.get(key)
        if known is not None and known[0] is buffer and known[1].goes_on(length, values):
            return known[1]
        grown = Buffer(values.dtype.type)
        if length:
            grown.extend(buffer.first(length))
        grown.extend(values)
        self._grown[key] = buffer, grown
        return grown
