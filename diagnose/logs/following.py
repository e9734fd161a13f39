"""One run's files, read again and again as they grow: each time only what is new."""

from __future__ import annotations

from diagnose.logs.columns import EventData
from diagnose.logs.reading import EventReader
from diagnose.logs.storage import File, Identity

WINDOW = 64_000_000  # bytes that are read at a time; a record that is longer than all of them is passed over
BEGINNING = 64  # bytes by which a file is known again that was written anew in its old place


class FollowedFile:
    """One event file and what was read of it so far."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._identity: Identity | None = None
        self._beginning = b""
        self._read_again = self._unreadable = ""
        self._begin_anew()

    @property
    def notes(self) -> list[str]:
        """What was lost, a sentence each."""
        return [*filter(None, (self._read_again, self._unreadable)), *self._reader.notes]

    def read_on(self) -> bool:
        """Read what has come since the last time; returns whether anything has. A file that is gone stays as read."""
        told = self._unreadable
        try:
            changed = self._read_what_came()
            self._unreadable = ""
        except OSError as error:
            changed, reason = False, error.strerror or type(error).__name__
            self._unreadable = f"{self._file.name}: could not be read ({reason})."
        return changed or self._unreadable != told

    def _read_what_came(self) -> bool:
        identity = self._file.identity()
        if identity == self._identity:
            return False
        if self._is_another(identity):
            self._begin_anew()
            self._read_again = f"{self._file.name}: the file was cut off or replaced, and read again."
        self._read_until(identity.size)
        self._identity = identity
        return True

    def _begin_anew(self) -> None:
        self.data = EventData()
        self._reader = EventReader(self._file.name)
        self._identity, self._beginning = None, b""

    def _is_another(self, now: Identity) -> bool:
        before = self._identity
        if before is None:
            return False
        if now.key != before.key or now.size < before.size:
            return True
        return self._file.content(0, len(self._beginning)).tobytes() != self._beginning

    def _read_until(self, size: int) -> None:
        if not self._beginning:
            self._beginning = self._file.content(0, min(BEGINNING, size)).tobytes()
        while self._reader.offset < size:
            begin = self._reader.offset
            end = min(begin + WINDOW, size)
            content = self._file.content(begin, end)
            self._reader.read(content, self.data)
            if len(content) < end - begin:
                break  # cut off meanwhile: known at the next look
            if self._reader.offset == begin:
                missing = self._reader.damage.missing_bytes
                if not 0 < missing <= size - end:
                    break  # an incomplete record at the end, or one that cannot be read
                self._reader.skip(end + missing - begin)
        if self._reader.damage.lost_bytes:
            self._reader.damage.lost_bytes = size - self._reader.offset
