"""What was found of runs whose files are still the same: a scan reads only what is new."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diagnose
from diagnose.logs.discovery import files_of

NAME = "verdicts.sqlite"


def cache_folder() -> Path:
    """`DIAGNOSE_CACHE`, else `diagnose` in the user's cache; safe to delete at any time."""
    told = os.environ.get("DIAGNOSE_CACHE")
    if told:
        return Path(told)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diagnose"


class Verdicts:
    """A table from a run's files, by name, size and time of change, to what was found. Never beside the logs.

    Where it cannot be kept, nothing is remembered. A file of it that is damaged is begun anew.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._table: sqlite3.Connection | None = None
        path = (folder or cache_folder()) / NAME
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._table = _opened(path)
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            self._table = _opened(path)
        except OSError:
            return

    def remembered(self, path: str) -> Mapping[str, Any] | None:
        """What was found of the run as its files are now, None where that is not known."""
        if self._table is None:
            return None
        row = self._table.execute("SELECT found FROM verdicts WHERE files = ?", (_files(path),)).fetchone()
        return {**json.loads(row[0]), "run": path} if row else None

    def remember(self, path: str, found: Mapping[str, Any]) -> None:
        """Keep what was found of the run as its files are now."""
        if self._table is not None:
            with self._table:
                told = _files(path), json.dumps(dict(found))
                self._table.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", told)

    def close(self) -> None:
        """Keep it for the next time."""
        if self._table is not None:
            self._table.close()


def _opened(path: Path) -> sqlite3.Connection:
    table = sqlite3.connect(path, timeout=30)
    with table:
        table.execute("CREATE TABLE IF NOT EXISTS verdicts (files TEXT PRIMARY KEY, found TEXT)")
    return table


def _files(path: str) -> str:
    """The run's files as they are, and the version that examined them, as one key."""
    place = Path(path)
    states = []
    for file in files_of(place) if place.is_dir() else [place]:
        try:
            status = file.stat()
        except OSError:
            continue
        states.append((str(file.absolute()), status.st_size, status.st_mtime_ns, status.st_ino))
    return hashlib.sha256(repr((diagnose.__version__, states)).encode()).hexdigest()
