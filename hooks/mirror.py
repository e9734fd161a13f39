"""A run whose `run_dir` is a URL: written into a spool on this machine, and copied from there as it grows.

Object stores cannot append. So the log is written in parts of PART_BYTES, and every UPLOAD_S whatever has
changed goes up whole: a reader sees one object grow until the next begins, and no more than the last part is
ever sent twice. Parts of a second each would be thousands of objects; one file sent whole again and again
would cost the square of the run's length. Copying has a thread of its own: training, and the thread that
writes the log, wait for nothing. What does not go up is tried again; at the end it stays in the spool, and one
warning says where.
"""

from __future__ import annotations

import atexit
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from diagnose.logs.remote import reason, remote_place, shown
from diagnose.logs.writing import EventFile

logger = logging.getLogger("diagnose")

PART_BYTES: Final = 8_000_000
UPLOAD_S: Final = 20.0
PATIENCE: Final = 3  # rounds that may fail before a warning
LAST_PAUSES_S: Final = (0.0, 1.0, 3.0)  # before each of the last tries, at the end
CLOSE_TIMEOUT_S: Final = 20.0  # less than the writer's own


class Mirror:
    """Copies the files of `spool` to `url` while they grow; `spool` is gone once all of it has arrived.

    Raises `InvalidArgumentError` where `url` cannot be used; afterwards nothing raises.
    """

    def __init__(self, url: str) -> None:
        self.place = remote_place(url)
        self.spool = Path(tempfile.mkdtemp(prefix="diagnose-"))
        self._sent: dict[Path, tuple[int, int]] = {}
        self._failures = 0
        self._told = self._arrived = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="diagnose-mirror", daemon=True)

    def start(self) -> None:
        """Begin to copy."""
        self._thread.start()

    def close(self) -> None:
        """Copy what is left; returns after at most CLOSE_TIMEOUT_S, and tells where the log is if that failed."""
        self._closing.set()
        self._thread.join(CLOSE_TIMEOUT_S)
        if self._arrived:
            shutil.rmtree(self.spool, ignore_errors=True)
        else:
            logger.warning(
                "diagnose: the log could not be copied to %s; it is kept in %s.", shown(self.place), self.spool
            )

    def _work(self) -> None:
        while not self._closing.wait(UPLOAD_S):
            self._copy()
        for pause in LAST_PAUSES_S:
            threading.Event().wait(pause)
            if self._copy():
                self._arrived = True
                return

    def _copy(self) -> bool:
        """Send what has changed; returns whether all of it arrived."""
        errors = []
        for file in sorted(path for path in self.spool.rglob("*") if path.is_file() and path.suffix != ".partial"):
            try:
                self._send(file)
            except Exception as error:  # noqa: BLE001  whatever a driver raises must not end the thread
                errors.append(error)
        if errors:
            self._failures += 1
            if self._failures == PATIENCE and not self._told:
                self._told = True
                logger.warning(
                    "diagnose: the log does not reach %s (%s); it is tried again, and meanwhile kept in %s.",
                    shown(self.place), reason(errors[0]), self.spool,
                )  # fmt: skip
            return False
        self._failures = 0
        return True

    def _send(self, file: Path) -> None:
        status = file.stat()
        state = status.st_size, status.st_mtime_ns
        if self._sent.get(file) != state:
            place = cast(Any, self.place)
            target = f"{place.path.rstrip('/')}/{file.relative_to(self.spool).as_posix()}"
            try:
                place.fs.put_file(str(file), target)
            except FileNotFoundError:  # where folders are more than names
                place.fs.makedirs(target.rpartition("/")[0], exist_ok=True)
                place.fs.put_file(str(file), target)
            self._sent[file] = state


def close_while_drivers_work(close: Callable[[], object]) -> None:
    """Have `close` called early when the interpreter exits: by the time of `atexit`, drivers find no threads left."""
    register = getattr(threading, "_register_atexit", atexit.register)  # as `distributed` does; it has no public name
    register(close)


class PartedFile:
    """Event files one after the other, as an `EventFile`: each is left for the next once it is long enough."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._part = EventFile(directory)

    def write_text(self, tag: str, text: str, wall_time: float) -> None:
        """Write a text summary into the part at hand."""
        self._part.write_text(tag, text, wall_time)

    def write_step(
        self,
        step: int,
        wall_time: float,
        scalars: Iterable[tuple[str, float]],
        vectors: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Write one event into the part at hand."""
        self._part.write_step(step, wall_time, scalars, vectors)

    def flush(self) -> None:
        """Hand everything written so far to the operating system; begin a new part where this one is long."""
        self._part.flush()
        with suppress(OSError):  # all is written: where no new part can be begun, this one goes on
            if self._part.path.stat().st_size >= PART_BYTES:
                following = EventFile(self._directory)
                self._part.close()
                self._part = following

    def forget(self) -> None:
        """Write nothing of what waits."""
        self._part.forget()

    def close(self) -> None:
        """Flush and close; safe to call twice."""
        self._part.close()
