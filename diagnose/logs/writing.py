"""Writing our own event files: one event per step, holding all of that step's values."""

from __future__ import annotations

import errno
import itertools
import os
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING

from diagnose.logs import layout
from diagnose.logs.records import framed

MOST_WAITING_BYTES: Final = 1 << 24  # more than a flush of ours ever holds, little enough for whoever never flushes

_file_numbers = itertools.count()


class EventFile:
    """A new event file in `directory`, appended to until it is closed.

    What is written waits in memory until `flush`, which writes all of it or nothing: a disk that is full for a
    while leaves a log that can be appended to again. The file's name ends with `ending`. Opening raises `OSError`
    where the directory cannot be made or written.
    """

    def __init__(self, directory: Path, ending: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        name = f"events.out.{layout.FILE_MARK}.{time.time():.6f}.{_host()}.{os.getpid()}.{next(_file_numbers)}"
        self.path = directory / (name + ending)
        # Python's own buffer would be written a second time by a forked child that ends.
        self._file = self.path.open("xb", buffering=0)
        self._waiting = bytearray()
        self._whole_bytes = 0
        self._marked_vectors: set[str] = set()
        self._write(Event(wall_time=time.time(), file_version=layout.FILE_VERSION))
        self.flush()

    def write_text(self, tag: str, text: str, wall_time: float, step: int = 0) -> None:
        """Write a text summary; TensorBoard shows it as Markdown."""
        event = Event(wall_time=wall_time, step=step)
        value = event.summary.value.add(tag=tag)
        value.metadata.plugin_data.plugin_name = layout.TEXT_PLUGIN
        value.metadata.data_class = DATA_CLASS_TENSOR
        value.tensor.dtype = DT_STRING
        value.tensor.tensor_shape.dim.add(size=1)
        value.tensor.string_val.append(text.encode(errors="replace"))
        self._write(event)

    def write_setup(self, setup_json: str, wall_time: float) -> None:
        """Write the set-up."""
        self.write_text(layout.SETUP_TAG, setup_json, wall_time)

    def write_step(
        self,
        step: int,
        wall_time: float,
        scalars: Iterable[tuple[str, float]],
        vectors: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Write one event: each scalar as a simple value, each vector as one float32 tensor."""
        event = Event(wall_time=wall_time, step=step)
        summary = event.summary
        for tag, number in scalars:
            summary.value.add(tag=tag, simple_value=number)
        for tag, vector in vectors.items():
            value = summary.value.add(tag=tag)
            if tag not in self._marked_vectors:  # TensorBoard wants the metadata once per file
                value.metadata.plugin_data.plugin_name = layout.VECTOR_PLUGIN
                value.metadata.data_class = DATA_CLASS_TENSOR
                self._marked_vectors.add(tag)
            value.tensor.dtype = DT_FLOAT
            value.tensor.tensor_shape.dim.add(size=len(vector))
            value.tensor.tensor_content = np.ascontiguousarray(vector, dtype="<f4").tobytes()
        self._write(event)

    def flush(self) -> None:
        """Hand everything written so far to the operating system, so that a killed process loses nothing.

        Raises `OSError` where that fails or the file was deleted. What waited is then lost, and of it nothing stays
        in the file: half a record would hide whatever comes after it.
        """
        waiting = bytes(self._waiting)
        self._waiting.clear()
        if not waiting:
            return
        try:
            if os.fstat(self._file.fileno()).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, "it was deleted", str(self.path))
            written = 0
            while written < len(waiting):
                written += self._file.write(waiting[written:])
        except OSError:
            with suppress(OSError):
                self._file.truncate(self._whole_bytes)
                self._file.seek(self._whole_bytes)
            self._marked_vectors.clear()
            raise
        self._whole_bytes += len(waiting)

    def forget(self) -> None:
        """Write nothing of what waits."""
        self._waiting.clear()
        self._marked_vectors.clear()

    def close(self) -> None:
        """Flush and close; safe to call twice."""
        if self._file.closed:
            return
        try:
            self.flush()
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, event: Event) -> None:
        self._waiting += framed(event.SerializeToString())
        if len(self._waiting) >= MOST_WAITING_BYTES:
            self.flush()


def _host() -> str:
    # A host's name becomes part of a file's name: keep what every file system takes.
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in socket.gethostname()) or "host"
