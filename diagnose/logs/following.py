"""One run's files, read again and again as they grow: each time only what is new."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Final

from diagnose.logs.cache import cache_folder
from diagnose.logs.columns import EventData
from diagnose.logs.reading import FAST_FROM, Bytes, EventReader
from diagnose.logs.storage import File, Identity

if TYPE_CHECKING:
    from diagnose.logs.parsed import ParsedFiles

MARK: Final = 64  # bytes at either end by which a file is known again that was written anew in its old place
KEPT_FROM = FAST_FROM  # bytes read: of less, nothing is kept for the next time


class FollowedFile:
    """One event file and what was read of it so far."""

    def __init__(self, file: File, wanted: Container[str] | None = None) -> None:
        self._file, self._wanted = file, wanted
        self._identity: Identity | None = None
        self._read_again = self._unreadable = ""
        self._begin_anew()

    @property
    def notes(self) -> list[str]:
        """What was lost, a sentence each."""
        return [*filter(None, (self._read_again, self._unreadable)), *self._reader.notes]

    @property
    def readable(self) -> bool:
        """Whether nothing kept the last look from reading all that is there."""
        return not self._unreadable

    def read_on(self) -> bool:
        """Read what has come since the last time; returns whether anything has. What cannot be read stays as read."""
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
        recalled = self._identity is None and self._recall(identity)
        if identity == self._identity:
            return recalled
        if self._is_another(identity):
            self._begin_anew()
            if not recalled:
                self._read_again = f"{self._file.name}: the file was cut off, changed or replaced, and read again."
        self._read_until(identity.size)
        self._identity = identity
        self._keep()
        return True

    def _begin_anew(self) -> None:
        self.data = EventData()
        self._reader = EventReader(self._file.name, self._wanted)
        self._identity = None
        self._marks = b"", b""
        self._kept_until = 0

    def _is_another(self, now: Identity) -> bool:
        before = self._identity
        if before is None:
            return False
        if now.key != before.key or now.size <= before.size:  # of the same size: changed in its place
            return True
        return self._marks_now() != self._marks

    def _marks_now(self) -> tuple[bytes, bytes]:
        """The bytes that now stand where the marks were taken."""
        end, (first, last) = self._reader.offset, self._marks
        parts = (0, len(first)), (end - len(last), end)
        now_first, now_last = (self._file.content(*part).tobytes() for part in parts)
        return now_first, now_last

    def _read_until(self, size: int) -> None:
        while self._reader.offset < size:
            begin = self._reader.offset
            end = min(begin + self._file.window, size)
            content = self._file.content(begin, end)
            self._reader.read(content, self.data)
            self._mark(content[: self._reader.offset - begin])
            if len(content) < end - begin:
                break  # cut off meanwhile: known at the next look
            if self._reader.offset == begin:
                missing = self._reader.damage.missing_bytes
                if not 0 < missing <= size - end:
                    break  # an incomplete record at the end, or one that cannot be read
                self._reader.skip(end + missing - begin)
                self._marks = self._marks[0], b""  # of what is passed over nothing is known
        if self._reader.damage.lost_bytes:
            self._reader.damage.lost_bytes = size - self._reader.offset

    def _mark(self, read: Bytes) -> None:
        """Take the first bytes of the file, and the last of what was read of it."""
        first, last = self._marks
        self._marks = first or read[:MARK].tobytes(), (last + read[-MARK:].tobytes())[-MARK:]

    def _recall(self, identity: Identity) -> bool:
        """Go on from what was kept of the file at its place the last time; false where nothing was."""
        kept_files = _kept_files() if identity.size >= KEPT_FROM and self._wanted is None else None
        kept = kept_files.recall(self._file.place, self._file.name) if kept_files is not None else None
        if kept is None:
            return False
        self._identity, self._marks, self.data, self._reader = kept
        self._kept_until = self._reader.offset
        return True

    def _keep(self) -> None:
        """Keep what was read for the next time, where it is much more than was kept before."""
        if self._reader.offset - self._kept_until < max(KEPT_FROM, self._kept_until // 2):
            return
        if self._identity is None or self._wanted is not None or not self._reader.damage.sound:
            return  # a part, or what may be mended in its place
        kept_files = _kept_files()
        if kept_files is not None:
            kept_files.keep(self._file.place, self._identity, self._marks, self.data, self._reader)
            self._kept_until = self._reader.offset


def _kept_files() -> ParsedFiles | None:
    folder = cache_folder()
    if folder is None:
        return None
    from diagnose.logs.parsed import ParsedFiles  # loads Arrow, which takes as long as reading some megabytes

    return ParsedFiles(folder)
