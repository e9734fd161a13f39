"""Where runs lie: names of the runs below a root, each with the identity of its files.

A run is named by its path relative to the root. Names that come from a browser are only ever looked up
among the names found here, never joined to a path, so no spelling of `..` leads anywhere.

A folder with the same times of change as before is not listed again: ten thousand runs are looked at in a
fraction of a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from diagnose.logs.config_files import files_beside
from diagnose.logs.discovery import Contents, contents_of
from diagnose.logs.own_names import FILE as NAMES_FILE

SETTLED_NS: Final = 2_000_000_000  # what changed just before it was listed may change again within the same tick

FileIdentity = tuple[str, int, int]  # path, size in bytes, modification time in nanoseconds


@dataclass(frozen=True)
class Place:
    """One run on disk: `files` changes whenever an event file was written; `problem` says why not to read it.

    `beside` are the files that tell of its settings and of the names of its signals.
    """

    name: str
    path: str
    files: tuple[FileIdentity, ...]
    problem: str = ""
    beside: tuple[FileIdentity, ...] = ()

    @property
    def last_write_s(self) -> float:
        """When an event file was last written, in seconds since the epoch; 0 where none could be asked."""
        return max((modified for _, _, modified in self.files), default=0) / 1e9


class Times(NamedTuple):
    """When a folder's contents changed last, and when it or its permissions did, in nanoseconds."""

    contents: int
    itself: int


class _Listed(NamedTuple):
    """A folder as it was listed, and the times of change by which it is known to be the same."""

    changed_ns: tuple[Times | None, ...]  # its own, and those of the watched; None for one that is gone
    listed_ns: int
    contents: Contents
    name: str
    beside: tuple[str, ...]
    problem: str
    links: bool

    def holds(self, changed_ns: tuple[Times | None, ...]) -> bool:
        """Whether nothing can have come or gone since."""
        if not self.contents.settled or self.links or changed_ns != self.changed_ns:
            return False
        return all(changed is not None and self.listed_ns - changed.contents > SETTLED_NS for changed in changed_ns)


class Places:
    """The runs below `root`, looked at again and again."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[str, _Listed] = {}
        self._places: dict[str, Place] = {}

    def now(self) -> Mapping[str, Place]:
        """Every run by name; none where the folder has vanished."""
        before, listed, places = self._places, {}, {}
        left: list[tuple[Path, tuple[FileIdentity, ...]]] = [(self._root, ())]
        while left:
            folder, named = left.pop()
            one = listed[str(folder)] = self._as_listed(folder)
            named = (*named, *_identities([os.path.join(folder, NAMES_FILE)]))  # noqa: PTH118  of ten thousand
            left += [(within, named) for within in reversed(one.contents.within)]
            if one.contents.files:
                place = _place(one, str(folder), named, self._root)
                known = before.get(place.name)
                places[place.name] = known if known == place else place
        self._listed, self._places = listed, places
        return places

    def _as_listed(self, folder: Path) -> _Listed:
        known = self._listed.get(str(folder))
        if known is not None and known.holds(_changed_ns(folder, known.contents.watched)):
            return known
        now_ns = time.time_ns()
        contents = contents_of(folder)
        problems = [problem for file in contents.files if (problem := _leads_out(file, self._root))]
        return _Listed(
            changed_ns=_changed_ns(folder, contents.watched),
            listed_ns=now_ns,
            contents=contents,
            name=_printable(os.path.relpath(folder, self._root)),
            beside=tuple(map(str, files_beside(folder))) if contents.files else (),
            problem=problems[-1] if problems else "",
            links=any(map(os.path.islink, contents.files)),
        )


def _place(one: _Listed, path: str, named: tuple[FileIdentity, ...], root: Path) -> Place:
    unopened = one.problem
    files = []
    for file in one.contents.files:
        if one.problem and _leads_out(file, root):
            continue
        try:
            files.append(_identity(str(file)))
        except OSError as error:
            unopened = f"{file.name} cannot be opened: {error.strerror}."
    return Place(one.name, path, tuple(files), unopened, (*_identities(one.beside), *named))


def _leads_out(file: Path, root: Path) -> str:
    """Why a file is not read that lies elsewhere, "" for one that may be read."""
    if not os.path.islink(file) or Path(os.path.realpath(file)).is_relative_to(root):  # noqa: PTH114
        return ""
    return f"{file.name} is a link to a place outside {root}; only files below that folder are read."


def _identity(path: str) -> FileIdentity:
    status = os.stat(path)  # noqa: PTH116  a Path for each of ten thousand costs more than the look
    return path, status.st_size, status.st_mtime_ns


def _identities(paths: Iterable[str]) -> Iterator[FileIdentity]:
    for path in paths:
        try:
            yield _identity(path)
        except OSError:
            continue


def _changed_ns(folder: Path, watched: Iterable[Path]) -> tuple[Times | None, ...]:
    return tuple(_change_ns(os.fspath(one)) for one in (folder, *watched))


def _change_ns(folder: str) -> Times | None:
    try:
        status = os.stat(folder)  # noqa: PTH116
    except OSError:
        return None
    return Times(status.st_mtime_ns, status.st_ctime_ns)


def _printable(name: str) -> str:
    # File names are bytes; those that are no UTF-8 could not be sent to a browser as they are.
    return os.fsencode(name).decode("utf-8", "backslashreplace").replace(os.sep, "/")
