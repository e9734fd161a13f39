"""Finding runs: which directories below a root hold event files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from diagnose.errors import NoRunError
from diagnose.logs import layout
from diagnose.logs.foreign import CHECKPOINT, foreign_log_of
from diagnose.logs.splits import splits_by_name
from diagnose.logs.storage import is_remote, looked_at, shown


def find_runs(root: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the path of every run below `root`, in the order of their names; opens only directory listings.

    A run is a directory with event files, or one whose sub-folders `train` and `validation` hold them
    (`diagnose/logs/splits.py`), or one with a log of another kind (`diagnose/logs/foreign.py`).
    A folder that cannot be listed is passed over. Raises `NoRunError` where `root` is no directory.
    """
    yield from map(str, _runs_below(_folder_at(root), []))


def runs_and_unlisted(root: str | os.PathLike[str]) -> tuple[list[str], list[str]]:
    """The runs as `find_runs` tells them, and the folders that could not be listed; raises as that does."""
    unlisted: list[Path] = []
    runs = list(map(str, _runs_below(_folder_at(root), unlisted)))
    return runs, list(map(str, unlisted))


def why_unlisted(folder: Path) -> str:
    """Why the folder cannot be listed, "" where it can."""
    try:
        next(iter(folder.iterdir()), None)
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def _folder_at(root: str | os.PathLike[str]) -> Path:
    folder = looked_at(root)
    try:
        if folder.is_dir():
            return folder
    except OSError as error:
        raise NoRunError(f"{shown(root)} cannot be looked at ({error.strerror}).") from error
    raise NoRunError(f"No folder at {shown(root)}: expected a directory that holds runs.")


def _runs_below(folder: Path, unlisted: list[Path]) -> Iterator[Path]:
    left = [folder]  # a stack, not a recursion: folders may be nested deeper than Python allows calls
    while left:
        folder = left.pop()
        event_files, subfolders = _listing(folder, unlisted)
        splits = _splits(folder, event_files, subfolders)
        foreign = None if event_files or splits else foreign_log_of(folder)
        if event_files or splits or foreign is not None:
            yield folder
        if foreign != folder:  # what is in a run of MLflow's is its own
            within = (name for name in subfolders if name not in splits and not CHECKPOINT.fullmatch(name))
            left += reversed([folder / name for name in within])


def _listing(folder: Path, unlisted: list[Path] | None = None) -> tuple[list[str], list[str]]:
    """Names of the event files and of the real sub-folders; where it cannot be listed, `unlisted` grows."""
    try:
        listed = folder.iterdir() if is_remote(folder) else os.scandir(folder)
        entries: list[Any] = sorted(listed, key=lambda entry: _order(entry.name))
    except OSError:
        if unlisted is not None:
            unlisted.append(folder)
        return [], []
    files = [e.name for e in entries if layout.FILE_MARK in e.name and _is_file(e)]
    # Links are not followed: a folder that holds itself by a link would never end.
    folders = [e.name for e in entries if not e.is_symlink() and e.is_dir() and not e.name.startswith(".")]
    return files, folders


def _order(name: str) -> tuple[int, list[tuple[int, str]]]:
    """By the time in an event file's name, as they were written; numbers in names by their size."""
    time = re.search(rf"{layout.FILE_MARK}\D*(\d{{1,19}})", name)
    return int(time[1]) if time else 0, [(int(part), "") if part.isdecimal() else (0, part) for part in _parts(name)]


def _parts(name: str) -> list[str]:
    return re.split(r"(\d{1,19})", name)


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file that can be reached: a link may lead to itself."""
    try:
        return entry.is_file()
    except OSError:
        return False


class Contents(NamedTuple):
    """What a folder holds: the run's `files` (none where it is no run), and the folders `within` that may hold others.

    That stays so while the folder and those `watched` keep their time of change, if it is `settled`.
    """

    files: tuple[Path, ...]
    within: tuple[Path, ...]
    watched: tuple[Path, ...]
    settled: bool


def contents_of(folder: Path) -> Contents:
    """One folder as `find_runs` and `files_of` see it, for those who look at it again and again."""
    names, subfolders = _listing(folder)
    splits = _splits(folder, names, subfolders)
    foreign = None if names or splits else foreign_log_of(folder)
    files = [path for _, path in _by_split(folder, names, splits)] or (files_of(folder) if foreign is not None else [])
    checkpoints = [name for name in subfolders if CHECKPOINT.fullmatch(name)]
    within = [name for name in subfolders if name not in splits and name not in checkpoints]
    watched = {*splits_by_name(subfolders, beside_events=bool(names)), *checkpoints}
    return Contents(
        files=tuple(files),
        within=() if foreign == folder else tuple(folder / name for name in within),
        watched=tuple(folder / name for name in watched),
        settled=foreign != folder,
    )


def files_of(run: Path) -> list[Path]:
    """The files that a run is read from: its event files, else its log of another kind."""
    events = [path for _, path in event_files_of(run)]
    foreign = None if events else foreign_log_of(run)
    if foreign is None or foreign.is_file():
        return events or ([foreign] if foreign is not None else [])
    return sorted(path for path in foreign.rglob("*") if path.is_file())


def event_files_of(run: Path) -> list[tuple[str, Path]]:
    """The run's event files with the split whose folder they lie in ("" for none), oldest first."""
    names, subfolders = _listing(run)
    return _by_split(run, names, _splits(run, names, subfolders))


def _by_split(run: Path, names: Iterable[str], splits: Mapping[str, str]) -> list[tuple[str, Path]]:
    found = [("", run / name) for name in names]
    for folder, split in splits.items():
        found += [(split, run / folder / name) for name in _listing(run / folder)[0]]
    return found


def _splits(folder: Path, event_files: Sequence[str], subfolders: Sequence[str]) -> dict[str, str]:
    """The sub-folders that hold a split of the run, and which."""
    named = splits_by_name(subfolders, beside_events=bool(event_files))
    return {name: split for name, split in named.items() if _listing(folder / name)[0]}
