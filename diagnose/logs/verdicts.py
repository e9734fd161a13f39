"""What was found of runs whose files are still the same: a scan reads only what is new."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import diagnose
from diagnose.logs.cache import cache_folder
from diagnose.logs.config_files import files_beside
from diagnose.logs.discovery import files_of
from diagnose.logs.links import leads_out
from diagnose.logs.own_names import files_of_names
from diagnose.logs.storage import file_at, is_remote, place_of

NAME = "verdicts.sqlite"
PATIENCE = 5  # seconds that another scan may be writing


class Verdicts:
    """A table from the files of a run, by name, size and time of change, to what was found. Never beside the logs.

    Where it cannot be kept, nothing is remembered. A file of it that is damaged is begun anew.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._table: sqlite3.Connection | None = None
        folder = folder or cache_folder()
        if folder is None:
            return
        self._path = folder / NAME
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return
        with self._whatever_happens():
            self._table = _opened(self._path)

    def remembered(self, state: str) -> Mapping[str, Any] | None:
        """What was found of a run in that state (`state_of`), None where that is not known."""
        row = None
        with self._whatever_happens():
            if self._table is not None:
                row = self._table.execute("SELECT found FROM verdicts WHERE files = ?", (state,)).fetchone()
        try:
            found = json.loads(row[0]) if row else None
        except (ValueError, TypeError):
            return None
        return found if isinstance(found, dict) else None

    def remember(self, state: str, found: Mapping[str, Any]) -> None:
        """Keep what was found of a run in that state, which it was in before it was looked at."""
        with self._whatever_happens():
            if self._table is not None:
                with self._table:
                    told = state, json.dumps(dict(found))
                    self._table.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", told)

    def close(self) -> None:
        """Keep it for the next time."""
        if self._table is not None:
            self._table.close()
            self._table = None

    @contextmanager
    def _whatever_happens(self) -> Iterator[None]:
        """A table that cannot be used is left alone, one that is damaged is begun anew: a scan goes on without it."""
        try:
            yield
        except sqlite3.OperationalError:  # locked, not writable, no disk left
            self.close()
        except sqlite3.DatabaseError:
            self.close()
            with suppress(OSError, sqlite3.DatabaseError):
                self._path.unlink(missing_ok=True)
                self._table = _opened(self._path)


def state_of(path: str, links_within: str | os.PathLike[str] | None = None) -> str:
    """All that a verdict on the run follows from, as it is now, and the version that examines it, as one key."""
    place = place_of(path)
    folder = place if place.is_dir() else place.parent
    limit = place if links_within is None else place_of(links_within)
    read = [file for file in files_of(place) if not leads_out(file, limit)] if place.is_dir() else [place]
    states: list[tuple[object, ...]] = []
    for file in (*read, *files_beside(folder), *files_of_names(place)):
        try:
            if is_remote(file):  # as the search for runs listed it
                states.append((str(file), *file_at(file).identity()))
                continue
            status = file.stat()
        except OSError:
            continue
        states.append((str(file.absolute()), status.st_size, status.st_mtime_ns, status.st_ino))
    return hashlib.sha256(repr((diagnose.__version__, states)).encode()).hexdigest()


def _opened(path: Path) -> sqlite3.Connection:
    table = sqlite3.connect(path, timeout=PATIENCE)
    try:
        with table:
            table.execute("CREATE TABLE IF NOT EXISTS verdicts (files TEXT PRIMARY KEY, found TEXT)")
    except sqlite3.DatabaseError:
        table.close()
        raise
    return table
