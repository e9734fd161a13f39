"""The table's rows from an earlier start of the server, in the user's cache: they are there at once.

Kept are summaries, a few hundred bytes a run. Each is known by the run's files, with size and time of change, and
by the version that examined them. Where the cache cannot be used, or is damaged, nothing is remembered.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import diagnose
from diagnose.dashboard.places import Place
from diagnose.dashboard.summary import Summary
from diagnose.logs.cache import cache_folder

NAME: Final = "dashboard.sqlite"
FORMAT: Final = 2  # to be raised where a summary holds other things, or runs are examined otherwise
PATIENCE_S: Final = 2.0  # that another server may be writing
UNUSED_S: Final = 90 * 86_400  # of roots that nobody has looked at for so long, nothing is kept

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS roots (root TEXT PRIMARY KEY, used_s REAL)",
    "CREATE TABLE IF NOT EXISTS rows (root TEXT, name TEXT, state TEXT, summary BLOB, PRIMARY KEY (root, name))",
)


class Kept(NamedTuple):
    """One run's summary, and the state of its files that it holds for."""

    name: str
    state: str
    summary: Summary


def state_of(place: Place) -> str:
    """All that the summary of a run follows from, as it is now, as one key."""
    told = (diagnose.__version__, FORMAT, place.files, place.beside)
    return sha256(repr(told).encode(errors="surrogateescape")).hexdigest()


def recalled(root: Path) -> dict[str, Kept]:
    """What was kept of the runs below `root`, by name; what is damaged is left out."""
    rows: list[tuple[str, str, bytes]] = []
    with _whatever_happens(), _table() as table:
        with table:
            table.execute("INSERT OR REPLACE INTO roots VALUES (?, ?)", (str(root), time.time()))
            unused = "SELECT root FROM roots WHERE used_s < ?"
            table.execute(f"DELETE FROM rows WHERE root IN ({unused})", (time.time() - UNUSED_S,))  # noqa: S608  a constant
            table.execute("DELETE FROM roots WHERE used_s < ?", (time.time() - UNUSED_S,))
        rows = table.execute("SELECT name, state, summary FROM rows WHERE root = ?", (str(root),)).fetchall()
    return {name: Kept(name, state, found) for name, state, kept in rows if (found := _unpacked(kept)) is not None}


def keep(root: Path, found: Iterable[Kept], gone: Iterable[str] = ()) -> None:
    """Keep these summaries for the next start in the stead of earlier ones, and forget the runs that are `gone`."""
    told = [(str(root), one.name, one.state, _packed(one.summary)) for one in found]
    with _whatever_happens(), _table() as table, table:
        table.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", told)
        table.executemany("DELETE FROM rows WHERE root = ? AND name = ?", [(str(root), name) for name in gone])


class _NoCache(Exception):  # noqa: N818  no error: a user may have switched it off
    pass


@contextmanager
def _table() -> Iterator[sqlite3.Connection]:
    folder = cache_folder()
    if folder is None:
        raise _NoCache
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / NAME, timeout=PATIENCE_S)) as table:
        for statement in _TABLES:
            table.execute(statement)
        yield table


@contextmanager
def _whatever_happens() -> Iterator[None]:
    """A cache that cannot be used is left alone, one that is damaged is begun anew: the pages go on without it."""
    try:
        yield
    except (_NoCache, OSError, sqlite3.OperationalError):  # switched off, not writable, locked, no disk left
        return
    except sqlite3.DatabaseError:
        folder = cache_folder()
        with suppress(OSError):
            if folder is not None:
                (folder / NAME).unlink(missing_ok=True)


def _packed(summary: Summary) -> bytes:
    return zlib.compress(json.dumps(dict(summary)).encode(), level=1)


def _unpacked(kept: bytes) -> Summary | None:
    """The summary, None where it is damaged: compressed bytes carry a checksum."""
    try:
        found = json.loads(zlib.decompress(kept))
    except (zlib.error, ValueError, TypeError):
        return None
    return found if isinstance(found, dict) and "health" in found else None
