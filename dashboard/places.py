"""Where runs lie: names of the runs below a root, each with the identity of its event files.

A run is named by its path relative to the root. Names that come from a browser are only ever looked up
among the names found here, never joined to a path, so no spelling of `..` leads anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from diagnose.errors import NoRunError
from diagnose.logs.discovery import files_of, find_runs

FileIdentity = tuple[str, int, int]  # path, size in bytes, modification time in nanoseconds


@dataclass(frozen=True)
class Place:
    """One run on disk: `files` changes whenever an event file was written; `problem` says why not to read it."""

    name: str
    path: str
    files: tuple[FileIdentity, ...]
    problem: str = ""

    @property
    def last_write_s(self) -> float:
        """When an event file was last written, in seconds since the epoch; 0 where none could be asked."""
        return max((modified for _, _, modified in self.files), default=0) / 1e9


def places_below(root: Path) -> Mapping[str, Place]:
    """Every run below `root` by name; none where the folder has vanished."""
    try:
        paths = list(find_runs(root))
    except NoRunError:
        return {}
    return {place.name: place for path in paths if (place := _place(root, path))}


def _place(root: Path, path: str) -> Place:
    files, problem = [], ""
    for file in files_of(Path(path)):
        if not Path(os.path.realpath(file)).is_relative_to(root):
            problem = f"{file.name} is a link to a place outside {root}; only files below that folder are read."
            continue
        try:
            status = file.stat()
        except OSError as error:
            problem = f"{file.name} cannot be opened: {error.strerror}."
            continue
        files.append((str(file), status.st_size, status.st_mtime_ns))
    return Place(_printable(os.path.relpath(path, root)), path, tuple(files), problem)


def _printable(name: str) -> str:
    # File names are bytes; those that are no UTF-8 could not be sent to a browser as they are.
    return os.fsencode(name).decode("utf-8", "backslashreplace").replace(os.sep, "/")
