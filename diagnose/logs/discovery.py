"""Finding runs: which directories below a root hold event files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from diagnose.errors import NoRunError
from diagnose.logs import layout
from diagnose.logs.foreign import CHECKPOINT, foreign_log_of

# Keras and others write one run into a folder per split.
SPLIT_FOLDERS = {"train": "train", "validation": "validation", "val": "validation", "eval": "validation"}


def find_runs(root: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the path of every run below `root`, in the order of their names; opens only directory listings.

    A run is a directory with event files, or one whose sub-folders `train` and `validation` hold them, or one
    with a log of another kind (`diagnose/logs/foreign.py`).
    Raises `NoRunError` where `root` is no directory.
    """
    if not Path(root).is_dir():
        raise NoRunError(f"No folder at {os.fspath(root)}: expected a directory that holds runs.")
    yield from map(str, _runs_below(Path(root)))


def _runs_below(folder: Path) -> Iterator[Path]:
    left = [folder]  # a stack, not a recursion: folders may be nested deeper than Python allows calls
    while left:
        folder = left.pop()
        event_files, subfolders = _listing(folder)
        splits = [name for name in subfolders if name in SPLIT_FOLDERS and _listing(folder / name)[0]]
        foreign = None if event_files or splits else foreign_log_of(folder)
        if event_files or splits or foreign is not None:
            yield folder
        if foreign != folder:  # what is in a run of MLflow's is its own
            within = (name for name in subfolders if name not in splits and not CHECKPOINT.fullmatch(name))
            left += reversed([folder / name for name in within])


def _listing(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the event files and of the real sub-folders; nothing where the folder cannot be listed."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return [], []
    files = [e.name for e in entries if layout.FILE_MARK in e.name and _is_file(e)]
    # Links are not followed: a folder that holds itself by a link would never end.
    folders = [e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]
    return files, folders


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file that can be reached: a link may lead to itself."""
    try:
        return entry.is_file()
    except OSError:
        return False


def files_of(run: Path) -> list[Path]:
    """The files that a run is read from: its event files, else its log of another kind."""
    events = [path for _, path in event_files_of(run)]
    foreign = None if events else foreign_log_of(run)
    if foreign is None or foreign.is_file():
        return events or ([foreign] if foreign is not None else [])
    return sorted(path for path in foreign.rglob("*") if path.is_file())


def event_files_of(run: Path) -> list[tuple[str, Path]]:
    """The run's event files with the split whose folder they lie in ("" for none), oldest first."""
    found = [("", path) for path in _event_files(run)]
    for folder, split in SPLIT_FOLDERS.items():
        found += [(split, path) for path in _event_files(run / folder)]
    return found


def _event_files(folder: Path) -> list[Path]:
    # The time in the name orders them as they were written, also after a copy that lost the files' own times.
    return [folder / name for name in _listing(folder)[0]]
