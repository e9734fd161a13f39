"""A log of another kind that may be growing: read as a whole when it has changed."""

from __future__ import annotations

from pathlib import Path

from diagnose.errors import NoRunError
from diagnose.logs.columns import EventData
from diagnose.logs.foreign import read_foreign


class FollowedTable:
    """One such log and what was read of it."""

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
            self.data, self._state = read_foreign(self._path), state
        except OSError as error:
            raise NoRunError(f"{self._path} could not be read ({error.strerror or type(error).__name__}).") from error
        return True


def _state(path: Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except OSError:
        status = path.lstat()  # a link that leads nowhere
    return str(path), status.st_size, status.st_mtime_ns
