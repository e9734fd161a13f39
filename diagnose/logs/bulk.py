"""The bulk of a file at compiled speed; a record in an unusual form goes the way that all records of small files go."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from diagnose.logs import kernel, layout
from diagnose.logs.columns import EventData
from diagnose.logs.printable import printable
from diagnose.logs.reading import PLAIN_PLUGINS, Bytes, EventReader, Restart, Scalar, Vector, add
from diagnose.logs.records import Record

ROOM: Final = 2**20  # values that are gathered before they are put with their tags
BYTES_OF_A_VALUE: Final = 12  # at least: content holds no more values than that
ROOM_FOR_VECTORS: Final = 2**16
ROOM_FOR_TAGS: Final = 2**12
LETTERS_OF_A_TAG: Final = 64  # on the average

_SCALARS: Final = np.frombuffer(b"scalars", np.uint8)
_VECTORS: Final = np.frombuffer(layout.VECTOR_PLUGIN.encode(), np.uint8)
_HPARAMS: Final = np.frombuffer(layout.HPARAMS_PLUGIN.encode(), np.uint8)


class BulkReader:
    """Knows the tags of one file, by the number of their first appearance, and gathers their values.

    `tags` has for each its place among the letters of all tags, its length, and what its plugin makes of tensors.
    """

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader
        self._counts = np.zeros(kernel.COUNTS, np.int64)
        self._letters = np.zeros(LETTERS_OF_A_TAG * ROOM_FOR_TAGS, np.uint8)
        self._tags = np.zeros((ROOM_FOR_TAGS, kernel.TAG), np.int64)
        self._slots = np.full(2 * ROOM_FOR_TAGS, -1, np.int32)
        self._names: list[str] = []  # by number
        self._unusual: dict[str, int] = {}  # numbers of the tags that are never in the usual form

    def read(self, content: Bytes, data: EventData) -> None:
        """Add to `data` what `content` holds, as far as its records are whole."""
        for tag, plugin in self._reader.plugins.items():
            self._learn_plugin(tag, plugin)
        self._make_room(min(ROOM, len(content) // BYTES_OF_A_VALUE + 1), ROOM_FOR_VECTORS)
        at, why = 0, kernel.FULL
        while why in {kernel.FULL, kernel.NO_ROOM, kernel.ODD}:
            at, why = kernel.scan(
                content, at, kernel.CRC_TABLES, _SCALARS, _VECTORS, _HPARAMS, self._letters, self._slots, self._tags,
                self._tag_of, self._steps, self._wall_times, self._values, self._rows, self._counts,
            )  # fmt: skip
            if why == kernel.ODD:
                at = self._take_slowly(content, at, data)
            elif why == kernel.FULL:
                if not self._counts[kernel.VALUES] and not self._counts[kernel.VECTORS]:  # one record fills it
                    self._make_room(2 * len(self._tag_of), 2 * len(self._rows))
                self._put_by_tag(content, data)
            elif why == kernel.NO_ROOM:
                self._make_room_for_tags()
        self._put_by_tag(content, data)
        del self._tag_of, self._steps, self._wall_times, self._values, self._rows
        self._tell_reader(data)
        self._reader.damage.ended_at(content[at:].tobytes(), framing_broken=why == kernel.LENGTH_CRC)

    def _make_room(self, values: int, vectors: int) -> None:
        self._tag_of, self._steps = np.empty(values, np.int32), np.empty(values, np.int64)
        self._wall_times, self._values = np.empty(values), np.empty(values)
        self._rows = np.empty((vectors, kernel.ROW), np.int64)

    def _take_slowly(self, content: Bytes, at: int, data: EventData) -> int:
        begin = at + kernel.HEADER
        end = begin + int(content[at : at + 8].view("<u8")[0])
        before = dict(self._reader.plugins)
        record = Record(content[begin:end].tobytes(), end + kernel.FOOTER)
        for item in self._reader.items_of(record, data):
            if isinstance(item, Scalar):
                self._gather(item, content, data)
                continue
            if isinstance(item, Vector | Restart):
                self._put_by_tag(content, data)  # what came before is to be added before
            add(item, data)
        for tag, plugin in self._reader.plugins.items() - before.items():
            self._learn_plugin(tag, plugin)
        return record.end

    def _gather(self, item: Scalar, content: Bytes, data: EventData) -> None:
        number = self._number_of(item.tag)
        if self._counts[kernel.VALUES] == len(self._tag_of):
            self._put_by_tag(content, data)
        row = self._counts[kernel.VALUES]
        self._tag_of[row], self._steps[row] = number, item.step
        self._wall_times[row], self._values[row] = item.wall_time, item.value
        self._counts[kernel.VALUES] += 1

    def _learn_plugin(self, tag: str, plugin: str) -> None:
        """Later values of the tag may be in the usual form, and say nothing of their plugin."""
        usual = kernel.VECTOR if plugin == layout.VECTOR_PLUGIN else kernel.OTHER
        self._tags[self._number_of(tag), kernel.TAG_PLUGIN] = kernel.PLAIN if plugin in PLAIN_PLUGINS else usual

    def _number_of(self, tag: str) -> int:
        if tag in self._unusual:
            return self._unusual[tag]
        text = np.frombuffer(tag.encode(errors="replace"), np.uint8)
        while True:
            number = int(
                kernel.tag_at(text, 0, len(text), self._letters, self._slots, self._tags, self._counts)
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
        count = self._counts[kernel.VALUES]
        columns = self._steps[:count], self._wall_times[:count], self._values[:count]
        starts, *columns = kernel.by_tag(self._tag_of[:count], len(self._names), *columns)
        for number in np.flatnonzero(np.diff(starts)):
            part = slice(starts[number], starts[number + 1])
            data.scalar(self._names[number]).extend(*(column[part] for column in columns))
        self._put_vectors(self._rows[: self._counts[kernel.VECTORS]], content, data)
        self._counts[kernel.VALUES] = self._counts[kernel.VECTORS] = 0

    def _put_vectors(self, rows: NDArray[np.int64], content: Bytes, data: EventData) -> None:
        kinds, kind_of = np.unique(rows[:, [kernel.ROW_TAG, kernel.ROW_LENGTH]], axis=0, return_inverse=True)
        for kind, (number, length) in enumerate(kinds):
            own = rows[kind_of == kind]
            vectors = kernel.gathered(content, own[:, kernel.ROW_PLACE], length)
            data.vector(self._names[number]).extend(own[:, kernel.ROW_STEP], vectors)

    def _name_new_tags(self) -> None:
        for place, length, _ in self._tags[len(self._names) : self._counts[kernel.TAGS]]:
            name = self._letters[place : place + length].tobytes().decode("ascii") if place >= 0 else ""
            self._names.append(printable(name))

    def _make_room_for_tags(self) -> None:
        self._tags = np.concatenate((self._tags, np.zeros_like(self._tags)))
        self._letters = np.concatenate((self._letters, np.zeros_like(self._letters)))
        self._slots = np.full(2 * len(self._tags), -1, np.int32)
        kernel.find_slots(self._letters, self._slots, self._tags, self._counts[kernel.TAGS])

    def _tell_reader(self, data: EventData) -> None:
        self._reader.damage.bad_records += int(self._counts[kernel.BAD_RECORDS])
        data.events += int(self._counts[kernel.EVENTS])
        self._counts[kernel.BAD_RECORDS] = self._counts[kernel.EVENTS] = 0
        for name, plugin in zip(self._names, self._tags[:, kernel.TAG_PLUGIN], strict=False):
            if plugin != kernel.PLAIN:
                told = layout.VECTOR_PLUGIN if plugin == kernel.VECTOR else "other"
                self._reader.plugins.setdefault(name, told)
