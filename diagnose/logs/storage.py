"""Where files lie: what the rest of reading asks of a file, wherever it is."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Identity(NamedTuple):
    """What tells a file that has grown from another one in its place."""

    key: str
    size: int
    changed: str = ""  # when, or which version of it


class File(Protocol):
    """A file that may be growing."""

    name: str  # for people
    place: str  # for machines: where it lies, and no other file

    def identity(self) -> Identity:
        """Raises `OSError` where it is gone."""

    def content(self, begin: int, end: int) -> NDArray[np.uint8]:
        """The bytes from `begin` to before `end`, or as many as there are. Raises `OSError` where it cannot be read."""


class LocalFile:
    """A file on this machine. Its bytes are read, not mapped: one that is cut off while mapped ends the process."""

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        self.name = name or path.name
        self.place = str(path.absolute())

    def identity(self) -> Identity:
        """By device and inode, and the time of its last change."""
        status = self.path.stat()
        return Identity(f"{status.st_dev}:{status.st_ino}", status.st_size, str(status.st_mtime_ns))

    def content(self, begin: int, end: int) -> NDArray[np.uint8]:
        """Read past the cache of Python's own files: the kernel has one."""
        with self.path.open("rb", buffering=0) as file:
            return np.fromfile(file, np.uint8, max(end - begin, 0), offset=begin)
