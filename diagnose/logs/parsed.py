"""What was read of large event files, kept for the next time: opened again, a file costs no reading.

One Arrow file for each event file, and a checksum behind it. In it: a row for each tag (and length of its vectors),
and what it takes to read on from where reading had ended. It is read, not mapped: what is cut off while mapped, as
home folders of several machines allow, ends the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import google_crc32c
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import diagnose
from diagnose.logs.buffers import Buffer
from diagnose.logs.columns import Column, EventData, VectorColumn
from diagnose.logs.reading import EventReader
from diagnose.logs.storage import Identity

FORMAT: Final = 2  # to be raised where a file is read otherwise than before
VERSION: Final = f"{diagnose.__version__}/{FORMAT}"
MOST_BYTES: Final = 4_000_000_000  # of all that is kept: what was used longest ago goes first
BLOCK: Final = 1 << 24  # bytes
ROWS_BYTES: Final = 32_000_000  # about, that are put into one batch of rows

_NUMBERS: Final = {
    "steps": (pa.int64(), np.int64), "wall_times": (pa.float64(), np.float64), "values": (pa.float64(), np.float64),
    "vectors": (pa.float32(), np.float32),
}  # fmt: skip
# The width is 0 for scalars. Numbers that an earlier row holds already are not held again: only which row it is.
_FIELDS: Final = [("tag", pa.string()), ("width", pa.int64()), ("steps_of", pa.int64()), ("wall_times_of", pa.int64())]
_SCHEMA: Final = pa.schema([*_FIELDS, *((name, pa.large_list(kind)) for name, (kind, _) in _NUMBERS.items())])
_STATE: Final = b"diagnose"
_CHECKSUM: Final = struct.Struct("<I")


class Parsed(NamedTuple):
    """What was read of one event file as it was then; `marks` are bytes by which it is known again."""

    identity: Identity
    marks: tuple[bytes, bytes]
    data: EventData
    reader: EventReader


class ParsedFiles:
    """The folder of what was read. Where it cannot be written or a file of it is damaged, nothing is remembered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "parsed"

    def recall(self, place: str, name: str) -> Parsed | None:
        """What was kept of the event file at `place`, None where nothing was; `name` is for people."""
        path = self._path(place)
        try:
            content = _sound(path)
            with pa.ipc.open_file(pa.BufferReader(content)) as file:
                state = json.loads(file.schema.metadata[_STATE])
                if state.pop("version") != VERSION:
                    return None
                data = EventData(**state.pop("data"))
                rows: list[dict[str, Buffer]] = []
                for number in range(file.num_record_batches):
                    _take_rows(file.get_batch(number), data, rows)
            with suppress(OSError):
                os.utime(path)  # used of late
            return Parsed(
                identity=Identity(*state["identity"]),
                marks=(bytes.fromhex(state["marks"][0]), bytes.fromhex(state["marks"][1])),
                data=data,
                reader=EventReader.resumed(name, state["reader"]),
            )
        except (OSError, pa.ArrowException, ValueError, TypeError, LookupError):
            return None

    def keep(
        self, place: str, identity: Identity, marks: tuple[bytes, bytes], data: EventData, reader: EventReader
    ) -> None:
        """Keep what was read of the event file at `place` in the stead of what was kept before."""
        with suppress(OSError, pa.ArrowException, TypeError, ValueError):  # whatever it is, the log was read
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with TemporaryDirectory(dir=self._folder) as folder:
                new = Path(folder, "new")
                _write(new, Parsed(identity, marks, data, reader))
                new.replace(self._path(place))
            self._make_room()

    def _path(self, place: str) -> Path:
        return self._folder / f"{hashlib.sha256(place.encode(errors='surrogateescape')).hexdigest()}.arrow"

    def _make_room(self) -> None:
        kept = sorted(((path.stat(), path) for path in self._folder.glob("*.arrow")), key=lambda one: -one[0].st_mtime)
        total = 0
        for status, path in kept:
            total += status.st_size
            if total > MOST_BYTES:
                path.unlink(missing_ok=True)


def _sound(path: Path) -> bytes:
    """What stands before the checksum. Raises `ValueError` where that does not hold."""
    with path.open("rb") as file:
        content = file.read(max(path.stat().st_size - _CHECKSUM.size, 0))
        if file.read() != _CHECKSUM.pack(google_crc32c.value(content)):
            raise ValueError("damaged")
    return content


def _write(path: Path, parsed: Parsed) -> None:
    data = parsed.data
    state = {
        "version": VERSION,
        "identity": parsed.identity,
        "marks": [mark.hex() for mark in parsed.marks],
        "data": {"texts": data.texts, "config": data.config, "notes": data.notes, "events": data.events,
                 "restarts": data.restarts},
        "reader": parsed.reader.state(),
    }  # fmt: skip
    schema = _SCHEMA.with_metadata({_STATE: json.dumps(state).encode()})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for rows in _batches(_rows(data)):
            writer.write_batch(_batch(rows, schema))
    with path.open("r+b") as file:  # read again: in memory it would all be there a second time
        checksum = 0
        for block in iter(lambda: file.read(BLOCK), b""):
            checksum = google_crc32c.extend(checksum, block)
        file.write(_CHECKSUM.pack(checksum))
        file.flush()
        os.fsync(file.fileno())


@dataclass(frozen=True)
class _Row:
    tag: str
    width: int
    steps_of: int
    wall_times_of: int
    numbers: dict[str, NDArray[Any]]

    @property
    def size(self) -> int:
        """Its bytes."""
        return sum(part.nbytes for part in self.numbers.values())


def _rows(data: EventData) -> Iterator[_Row]:
    held: dict[tuple[int, int], int] = {}  # where numbers lie in memory, and how many: the row that holds them
    number = 0
    for tag, column in data.scalars.items():
        steps, wall_times, values = column.raw()
        steps_of, wall_times_of = (held.setdefault(_whereabouts(part), number) for part in (steps, wall_times))
        numbers: dict[str, NDArray[Any]] = {"values": values}
        if steps_of == number:
            numbers["steps"] = steps
        if wall_times_of == number:
            numbers["wall_times"] = wall_times
        yield _Row(tag, 0, steps_of, wall_times_of, numbers)
        number += 1
    for tag, vectors in data.vectors.items():
        for steps, rows in vectors.parts():
            numbers = {"steps": steps, "vectors": rows.reshape(-1)}
            yield _Row(tag, rows.shape[1], number, number, numbers)
            number += 1


def _whereabouts(numbers: NDArray[Any]) -> tuple[int, int]:
    return numbers.__array_interface__["data"][0], len(numbers)


def _batches(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    batch: list[_Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += row.size
        if size > ROWS_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _batch(rows: list[_Row], schema: pa.Schema) -> pa.RecordBatch:
    arrays: list[pa.Array] = [pa.array([getattr(row, name) for row in rows], kind) for name, kind in _FIELDS]
    for name, (_, kind) in _NUMBERS.items():
        parts = [row.numbers.get(name, np.empty(0, kind)) for row in rows]
        offsets = np.cumsum([0, *map(len, parts)])
        numbers = parts[0] if len(parts) == 1 else np.concatenate(parts)
        arrays.append(pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(numbers)))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _take_rows(batch: pa.RecordBatch, data: EventData, rows: list[dict[str, Buffer]]) -> None:
    """Put a batch's rows into `data`, and behind those taken before."""
    parts = {}
    for name, (_, kind) in _NUMBERS.items():
        # From the buffers themselves: Arrow's `to_numpy` loads pandas, which takes longer than all the rest.
        lists = batch.column(name)
        _, offset_bytes, _, number_bytes = lists.buffers()
        offsets = np.frombuffer(offset_bytes, np.int64, len(lists) + 1)
        numbers = np.frombuffer(number_bytes or b"", kind)
        parts[name] = [numbers[begin:end] for begin, end in pairwise(offsets)]
    fields = zip(*(batch.column(name).to_pylist() for name, _ in _FIELDS), strict=True)
    for row, (tag, width, steps_of, wall_times_of) in enumerate(fields):
        if width:
            vectors = parts["vectors"][row].reshape(-1, width)
            data.vectors.setdefault(tag, VectorColumn()).adopt(parts["steps"][row], vectors)
        rows.append({name: Buffer.of(parts[name][row]) for name in ("steps", "wall_times", "values")})
        if not width:
            steps, wall_times = rows[steps_of]["steps"], rows[wall_times_of]["wall_times"]
            data.scalars[tag] = Column.of(steps, wall_times, rows[-1]["values"])
