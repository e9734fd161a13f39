"""A log of another kind that may be growing: read as a whole when it has changed."""

from __future__ import annotations

from pathlib import Path

from diagnose.errors import NoRunError
from diagnose.logs.columns import EventData
from diagnose.logs.foreign import read_foreign
from diagnose.logs.storage import file_at, is_remote, shown
from diagnose.logs.table_files import LARGEST


class FollowedTable:
    """One such log and what was read of it."""

    readable = True  # or reading raises

    def __init__(self, path: Path) -> None:
        self.data = EventData()
        self.notes: list[str] = []
        self._path = path
        self._state: object = None

    def read_on(self) -> bool:
        """Read it again where it has changed; returns whether it has. Raises `NoRunError` where it holds no curve."""
        try:
            state = [_state(path) for path in (self._path, *sorted(self._path.rglob("*")))]
            if state == self._state:
                return False
            self.data, self._state = _read(self._path), state
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise NoRunError(f"{shown(self._path)} could not be read ({reason}).") from None
        return True


def _read(path: Path) -> EventData:
    if not is_remote(path):
        return read_foreign(path)
    from diagnose.logs.remote import local_copy

    with local_copy(path, LARGEST) as copy:
        try:
            return read_foreign(copy)
        except NoRunError as error:
            raise NoRunError(str(error).replace(str(copy), shown(path))) from error


def _state(path: Path) -> tuple[str, int, object]:
    if is_remote(path):
        return (str(path), 0, "") if path.is_dir() else (str(path), *file_at(path).identity()[1:])
    try:
        status = path.stat()
    except OSError:
        status = path.lstat()  # a link that leads nowhere
    return str(path), status.st_size, status.st_mtime_ns
