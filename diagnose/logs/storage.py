"""Where files lie: what the rest of reading asks of a file, wherever it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


def place_of(path: str | os.PathLike[str]) -> Path:
    """A path of this machine or, for a URL, one that answers alike; fsspec is opened only for the latter.

    Raises `InvalidArgumentError` where a URL cannot be used.
    """
    text = str(path)
    if "://" not in text:
        return Path(path)
    from diagnose.logs import remote

    if not remote.is_url(text):
        return Path(path)
    return remote.on_this_machine(text) or remote.remote_place(text)


def looked_at(path: str | os.PathLike[str]) -> Path:
    """The same, with what a driver remembers of it asked for anew. Raises `NoRunError` where that fails."""
    place = place_of(path)
    if is_remote(place):
        from diagnose.logs import remote

        remote.look(place)
    return place


def is_remote(place: object) -> bool:
    """Whether a place from `place_of` lies behind a URL."""
    return not isinstance(place, Path)


def file_at(path: Path, name: str = "") -> File:
    """The file at a place from `place_of`."""
    if not is_remote(path):
        return LocalFile(path, name)
    from diagnose.logs.remote import RemoteFile

    return RemoteFile(path, name)


def shown(path: object) -> str:
    """A path for people: of a URL only what is no secret."""
    text = str(path)
    if "://" not in text:
        return text
    from diagnose.logs import remote

    return remote.shown(text)


class Identity(NamedTuple):
    """What tells a file that has grown from another one in its place."""

    key: str
    size: int
    changed: str = ""  # when, or which version of it


class File(Protocol):
    """A file that may be growing."""

    name: str  # for people
    place: str  # for machines: where it lies, and no other file
    window: int  # bytes that are read at a time; a record that is longer than all of them is passed over

    def identity(self) -> Identity:
        """Raises `OSError` where it is gone."""

    def content(self, begin: int, end: int) -> NDArray[np.uint8]:
        """The bytes from `begin` to before `end`, or as many as there are. Raises `OSError` where it cannot be read."""


class LocalFile:
    """A file on this machine. Its bytes are read, not mapped: one that is cut off while mapped ends the process."""

    window = 64_000_000

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
