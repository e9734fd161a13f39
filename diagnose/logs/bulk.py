"""The bulk of a file at compiled speed; a record in an unusual form goes the way that all records of small files go."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from diagnose.logs import crc32c, gathering, kernel, layout
from diagnose.logs.buffers import Twins
from diagnose.logs.columns import EventData
from diagnose.logs.reading import PLAIN_PLUGINS, Bytes, EventReader, Restart, Scalar, Vector, add
from diagnose.logs.records import Record, framed

ROOM: Final = 2**20  # values that are gathered before they are put with their tags
BYTES_OF_A_VALUE: Final = 12  # about the least: content hardly holds more values than that
ROOM_FOR_VECTORS: Final = 2**16
ROOM_FOR_TAGS: Final = 2**12
COMPILED: Final = 50  # functions, at most: each may fail once to be kept
LETTERS_OF_A_TAG: Final = 64  # on the average

_PLUGIN_NAMES: Final = kernel.PluginNames(
    *(np.frombuffer(name.encode(), np.uint8) for name in ("scalars", layout.VECTOR_PLUGIN, layout.HPARAMS_PLUGIN))
)


def make_ready() -> None:
    """Have everything compiled, kept or not: what cannot be kept (a full disk) works all the same, once it is there."""
    reader, record = EventReader(""), framed(b"\x09" + bytes(8))
    for _ in range(COMPILED):
        with suppress(OSError):
            BulkReader(reader).read(np.frombuffer(record, np.uint8), EventData())
            gathering.vectors_at(np.zeros(4, np.uint8), np.zeros(1, np.int64), 1)
            return


class BulkReader:
    """Knows the tags of one file, by the number of their first appearance, and gathers their values."""

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader
        self._scratch = kernel.scratch()
        self._counts = np.zeros(kernel.COUNTS, np.int64)
        self._counts[kernel.SEED] = secrets.randbits(63)  # or a file could make each tag collide with all others
        self._tags = kernel.Tags(
            letters=np.zeros(LETTERS_OF_A_TAG * ROOM_FOR_TAGS, np.uint8),
            known=np.zeros((ROOM_FOR_TAGS, kernel.TAG), np.int64),
            slots=np.full(2 * ROOM_FOR_TAGS, -1, np.int32),
        )
        self._names: list[str] = []  # by number
        self._unusual: dict[str, int] = {}  # numbers of the tags that are never in the usual form
        for tag in reader.plugins:
            self._learn_plugin(tag)
        reader.newly_told.clear()

    def read(self, content: Bytes, data: EventData) -> None:
        """Add to `data` what `content` holds, as far as its records are whole."""
        self._room = _room(min(ROOM, len(content) // BYTES_OF_A_VALUE + 1), ROOM_FOR_VECTORS)
        at, why = 0, kernel.FULL
        while why in {kernel.FULL, kernel.NO_ROOM, kernel.ODD}:
            at, why = kernel.scan(
                content, at, crc32c.CRC_TABLES, _PLUGIN_NAMES, self._tags, self._room, self._counts, self._scratch
            )
            if why == kernel.ODD:
                at = self._take_slowly(content, at, data)
            elif why == kernel.FULL:
                if not self._counts[kernel.VALUES] and not self._counts[kernel.VECTORS]:  # one record fills it
                    self._room = _room(2 * len(self._room.values), 2 * len(self._room.rows))
                self._put_by_tag(content, data)
            elif why == kernel.NO_ROOM:
                self._make_room_for_tags()
        self._put_by_tag(content, data)
        del self._room
        self._reader.damage.bad_records += int(self._counts[kernel.BAD_RECORDS])
        data.events += int(self._counts[kernel.EVENTS])
        self._counts[kernel.BAD_RECORDS] = self._counts[kernel.EVENTS] = 0
        self._reader.damage.ended_at(content[at:], framing_broken=why == kernel.LENGTH_CRC)

    def _take_slowly(self, content: Bytes, at: int, data: EventData) -> int:
        begin = at + kernel.HEADER
        end = begin + int(content[at : at + 8].view("<u8")[0])
        record = Record(content[begin:end].tobytes(), end + kernel.FOOTER)
        for item in self._reader.items_of(record, data):
            if isinstance(item, Scalar):
                self._gather(item, content, data)
                continue
            if isinstance(item, Vector | Restart):
                self._put_by_tag(content, data)  # what came before is to be added before
            add(item, data)
        while self._reader.newly_told:
            self._learn_plugin(self._reader.newly_told.pop())
        return record.end

    def _gather(self, item: Scalar, content: Bytes, data: EventData) -> None:
        number = self._number_of(item.tag)
        if self._counts[kernel.VALUES] == len(self._room.values):
            self._put_by_tag(content, data)
        row = self._counts[kernel.VALUES]
        self._room.tag_of[row], self._room.steps[row] = number, item.step
        self._room.wall_times[row], self._room.values[row] = item.wall_time, item.value
        self._counts[kernel.VALUES] += 1

    def _learn_plugin(self, tag: str) -> None:
        """Later values of the tag may be in the usual form, and say nothing of their plugin."""
        plugin, number = self._reader.plugins[tag], self._number_of(tag)
        usual = kernel.VECTOR if plugin == layout.VECTOR_PLUGIN else kernel.OTHER
        self._tags.known[number, kernel.TAG_PLUGIN] = kernel.PLAIN if plugin in PLAIN_PLUGINS else usual

    def _number_of(self, tag: str) -> int:
        if tag in self._unusual:
            return self._unusual[tag]
        text = np.frombuffer(tag.encode(errors="replace"), np.uint8)
        while True:
            number = int(
                kernel.tag_at(text, 0, len(text), self._tags, self._counts)
                if tag.isascii()
                else kernel.new_tag(self._tags, self._counts)
            )
            if number >= 0:
                break
            self._make_room_for_tags()
        if not tag.isascii():
            self._name_new_tags()
            self._names[number] = tag
            self._unusual[tag] = number
        return number

    def _put_by_tag(self, content: Bytes, data: EventData) -> None:
        self._name_new_tags()
        room, count = self._room, self._counts[kernel.VALUES]
        columns = room.steps[:count], room.wall_times[:count], room.values[:count]
        starts, *columns = gathering.by_tag(room.tag_of[:count], len(self._names), *columns)
        twins = Twins()
        for number in np.flatnonzero(np.diff(starts)):
            if self._reader.passes_over(self._names[number]):
                continue
            part = slice(starts[number], starts[number + 1])
            steps, wall_times, values = (column[part] for column in columns)
            data.scalar(self._names[number]).extend(steps, wall_times, values, twins)
        self._put_vectors(room.rows[: self._counts[kernel.VECTORS]], content, data)
        self._counts[kernel.VALUES] = self._counts[kernel.VECTORS] = 0

    def _put_vectors(self, rows: NDArray[np.int64], content: Bytes, data: EventData) -> None:
        if not len(rows):
            return
        kinds, kind_of = np.unique(rows[:, [kernel.ROW_TAG, kernel.ROW_LENGTH]], axis=0, return_inverse=True)
        for kind, (number, length) in enumerate(kinds):
            if self._reader.passes_over(self._names[number]):
                continue
            own = rows[kind_of == kind]
            vectors = gathering.vectors_at(content, own[:, kernel.ROW_PLACE], length)
            data.vector(self._names[number]).extend(own[:, kernel.ROW_STEP], vectors)

    def _name_new_tags(self) -> None:
        for place, length, _ in self._tags.known[len(self._names) : self._counts[kernel.TAGS]]:
            letters = self._tags.letters[place : place + length] if place >= 0 else self._tags.letters[:0]
            self._names.append(letters.tobytes().decode("ascii"))

    def _make_room_for_tags(self) -> None:
        letters, known, slots = self._tags
        self._tags = kernel.Tags(
            letters=np.concatenate((letters, np.zeros_like(letters))),
            known=np.concatenate((known, np.zeros_like(known))),
            slots=np.full(2 * len(slots), -1, np.int32),
        )
        kernel.find_slots(self._tags, self._counts)


def _room(values: int, vectors: int) -> kernel.Room:
    return kernel.Room(
        tag_of=np.empty(values, np.int32),
        steps=np.empty(values, np.int64),
        wall_times=np.empty(values),
        values=np.empty(values),
        rows=np.empty((vectors, kernel.ROW), np.int64),
    )
