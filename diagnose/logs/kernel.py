"""Event files at compiled speed: runs over records in the usual form, and stops at each that needs a closer look.

What it takes of a record is what `diagnose/logs/reading.py` would: whatever a parser might refuse or see otherwise
is no usual form. Only images, histograms and sounds are passed over without a look inside.
All but the checksum stands in one file: what Numba keeps of a function is not renewed where one that it calls has
changed in another.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diagnose.logs.compiling import compiled_lean, inlined
from diagnose.logs.crc32c import double_word, masked_crc, word

# Why it stopped.
DONE, FULL, NO_ROOM, ODD, TAIL, LENGTH_CRC = range(6)
# Places in the array of counts.
VALUES, VECTORS, TAGS, LETTERS, EVENTS, BAD_RECORDS, SEED, COUNTS = range(8)
# A tag: its place among the letters of all, its length, what its plugin makes of tensors.
TAG_PLACE, TAG_LENGTH, TAG_PLUGIN, TAG = range(4)
PLAIN, VECTOR, OTHER, UNTOLD = range(4)
# A vector: its tag, step, place in the file and length in numbers.
ROW_TAG, ROW_STEP, ROW_PLACE, ROW_LENGTH, ROW = range(5)

HEADER, FOOTER = 12, 4  # bytes of a record before and behind its content
FRAME = HEADER + FOOTER

_DT_FLOAT, _DT_DOUBLE = 1, 2
_UNUSUAL = -2  # a tag of other characters than the printable ones of ASCII
_LONGEST_LENGTH = 4  # bytes of a length field


class Tags(NamedTuple):
    """The tags of a file by number, and a hash table of the numbers."""

    letters: NDArray[np.uint8]  # of all tags
    known: NDArray[np.int64]  # (tags, TAG)
    slots: NDArray[np.int32]


class Room(NamedTuple):
    """Room for values in the order of the file; for vectors only where they stand."""

    tag_of: NDArray[np.int32]
    steps: NDArray[np.int64]
    wall_times: NDArray[np.float64]
    values: NDArray[np.float64]
    rows: NDArray[np.int64]  # (vectors, ROW)


class PluginNames(NamedTuple):
    """Plugins whose tensors are scalars, vectors, settings."""

    scalars: NDArray[np.uint8]
    vectors: NDArray[np.uint8]
    hparams: NDArray[np.uint8]


class Scratch(NamedTuple):
    """What the scan puts down for a moment: places it found, and one number's bits in three forms."""

    found: NDArray[np.int64]
    bits: NDArray[np.uint64]
    numbers: NDArray[np.float64]
    floats: NDArray[np.float32]


def scratch() -> Scratch:
    """A new one."""
    bits = np.zeros(1, np.uint64)
    return Scratch(np.zeros(_FOUND, np.int64), bits, bits.view(np.float64), bits.view(np.float32))


@compiled_lean
def _varint(data, at, end):
    """The number and the place behind it; that is −1 where it does not end in time, or is too large."""
    if at < end and data[at] < 128:
        return np.uint64(data[at]), at + 1
    number = np.uint64(0)
    shift = np.uint64(0)
    for place in range(at, min(at + 10, end)):
        byte = np.uint64(data[place])
        number |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            return number, -1 if shift == np.uint64(63) and byte > np.uint64(1) else place + 1
        shift += np.uint64(7)
    return np.uint64(0), -1


@compiled_lean
def _span(data, at, end):
    """Where a field with a length begins and ends, `at` being the place of the length; −1 and −1 if malformed."""
    length, begin = _varint(data, at, end)
    if begin < 0 or begin - at > _LONGEST_LENGTH or length > np.uint64(end - begin):
        return -1, -1
    return begin, begin + np.int64(length)


@compiled_lean
def _behind(data, at, end, key):
    """The place behind a field's content, −1 where it is malformed; `at` stands behind the field's key of one byte."""
    wire = key & 7
    if wire == 0:
        return _varint(data, at, end)[1]
    if wire == 1:
        return at + 8 if at + 8 <= end else -1
    if wire == 5:
        return at + 4 if at + 4 <= end else -1
    if wire == 2:
        return _span(data, at, end)[1]
    return -1


@compiled_lean
def _is_ascii(data, at, end):
    for place in range(at, end):
        if data[place] >= 128:
            return False
    return True


@compiled_lean
def _hash(data, at, length, seed):
    """FNV-1a, from a beginning that nobody can know who writes tags."""
    hashed = np.uint64(14695981039346656037) ^ np.uint64(seed)
    for place in range(at, at + length):
        hashed = (hashed ^ np.uint64(data[place])) * np.uint64(1099511628211)
    return hashed ^ (hashed >> np.uint64(32))


@compiled_lean
def tag_at(data, at, length, tags, counts):
    """The number of the tag that stands at `at`; a new one is added. −1 without room, or _UNUSUAL."""
    mask = np.uint64(len(tags.slots) - 1)
    slot = _hash(data, at, length, counts[SEED]) & mask
    while tags.slots[slot] >= 0:
        known = tags.slots[slot]
        if tags.known[known, TAG_LENGTH] == length:
            first = tags.known[known, TAG_PLACE]
            same = True
            for place in range(length):
                if tags.letters[first + place] != data[at + place]:
                    same = False
                    break
            if same:
                return known
        slot = (slot + np.uint64(1)) & mask
    for place in range(at, at + length):
        if data[place] < 32 or data[place] >= 127:
            return _UNUSUAL
    new, first = counts[TAGS], counts[LETTERS]
    if new >= len(tags.known) or first + length > len(tags.letters):
        return -1
    for place in range(length):
        tags.letters[first + place] = data[at + place]
    tags.slots[slot] = new
    tags.known[new, TAG_PLACE], tags.known[new, TAG_LENGTH], tags.known[new, TAG_PLUGIN] = first, length, UNTOLD
    counts[TAGS] += 1
    counts[LETTERS] += length
    return new


@compiled_lean
def _same(data, at, length, text):
    if length != len(text):
        return False
    for place in range(length):
        if data[at + place] != text[place]:
            return False
    return True


@compiled_lean
def _plugin(data, at, end, names):
    """What a SummaryMetadata's plugin makes of tensors; −1 where the message is in an unusual form."""
    plugin = PLAIN
    told = False
    while at < end:
        key = data[at]
        begin, at = _span(data, at + 1, end)
        if at < 0:
            return -1
        if key == 0x0A and not told:  # plugin_data
            told = True
            plugin = _plugin_named(data, begin, at, names)
            if plugin < 0:
                return -1
        elif not (key == 0x12 or key == 0x1A) or not _is_ascii(data, begin, at):  # display_name, summary_description
            return -1
    return plugin


@compiled_lean
def _plugin_named(data, at, end, names):
    """The same of a PluginData: its name counts, not its content."""
    plugin = PLAIN
    named = False
    while at < end:
        key = data[at]
        begin, at = _span(data, at + 1, end)
        if at < 0:
            return -1
        if key == 0x0A and not named:  # plugin_name
            named = True
            length = at - begin
            if _same(data, begin, length, names.hparams) or not _is_ascii(data, begin, at):
                return -1
            if _same(data, begin, length, names.vectors):
                plugin = VECTOR
            elif length > 0 and not _same(data, begin, length, names.scalars):
                plugin = OTHER
        elif key != 0x12:  # content
            return -1
    return plugin


# Where the parts of a value were found.
_TAG, _TAG_LENGTH, _SIMPLE, _TENSOR, _TENSOR_END, _METADATA, _METADATA_END = range(7)
_DTYPE, _PLACE, _LENGTH, _FIELD = range(7, 11)
# And of an event.
_WALL_TIME, _STEP, _SUMMARY, _SUMMARY_END, _FOUND = range(11, 16)


@compiled_lean
def _is_shape(data, at, end):
    """Whether it is a TensorShapeProto in its usual form: sizes, nothing else."""
    while at < end:
        key = data[at]
        begin, at = _span(data, at + 1, end)
        if at < 0 or key != 0x12:  # dim
            return False
        if begin < at and (data[begin] != 0x08 or _varint(data, begin + 1, at)[1] != at):  # its size
            return False
    return True


@compiled_lean
def _tensor(data, at, end, found):
    """Find dtype, place and length of a TensorProto's numbers as bytes; false for an unusual form."""
    contents = 0
    found[_DTYPE] = 0
    while at < end:
        key, begin = data[at], at + 1
        at = _behind(data, begin, end, key)
        if at < 0:
            return False
        if key == 0x08:  # dtype
            found[_DTYPE] = np.int64(_varint(data, begin, end)[0])
        elif key == 0x22 or key == 0x2A or key == 0x32:  # tensor_content, packed float_val, packed double_val
            found[_PLACE] = _span(data, begin, end)[0]
            found[_LENGTH], found[_FIELD] = at - found[_PLACE], key
            contents += 1
        elif key == 0x2D or key == 0x31:  # one float_val, one double_val
            found[_PLACE], found[_LENGTH], found[_FIELD] = begin, at - begin, 0x2A if key == 0x2D else 0x32
            contents += 1
        elif key == 0x12:  # tensor_shape
            if not _is_shape(data, _span(data, begin, end)[0], at):
                return False
        elif key != 0x18:  # version_number
            return False
    if contents != 1:
        return False
    if found[_DTYPE] == _DT_FLOAT:
        return found[_FIELD] != 0x32 and found[_LENGTH] % 4 == 0
    return found[_DTYPE] == _DT_DOUBLE and found[_FIELD] != 0x2A and found[_LENGTH] % 8 == 0


@compiled_lean
def _is_usual(data, at, end, kind):
    """Whether a value's image, histogram or audio is in a usual form: where one is none, its event is none."""
    while at < end:
        key, begin = data[at], at + 1
        at = _behind(data, begin, end, key)
        if at < 0 or key < 0x08 or key >= 0x80:
            return False
        if key & 7 == 2:
            begin = _span(data, begin, end)[0]
            limits_or_counts = kind == 0x2A and (key == 0x32 or key == 0x3A) and (at - begin) % 8 == 0
            content = kind != 0x2A and key == 0x22
            content_type = kind == 0x32 and key == 0x2A and _is_ascii(data, begin, at)
            if not (limits_or_counts or content or content_type):
                return False
    return True


@inlined
def _value(data, at, end, found):
    """Find where the parts of a Summary.Value lie; false for an unusual form."""
    found[_TAG] = found[_SIMPLE] = found[_TENSOR] = found[_METADATA] = -1
    kinds = 0
    while at < end:
        key, begin = data[at], at + 1
        at = _behind(data, begin, end, key)
        if at < 0:
            return False
        if key == 0x0A:  # tag
            found[_TAG] = _span(data, begin, end)[0]
            found[_TAG_LENGTH] = at - found[_TAG]
        elif key == 0x15:  # simple_value
            found[_SIMPLE] = begin
            kinds += 1
        elif key == 0x42:  # tensor
            found[_TENSOR], found[_TENSOR_END] = _span(data, begin, end)
            kinds += 1
        elif key == 0x4A and found[_METADATA] < 0:  # metadata
            found[_METADATA], found[_METADATA_END] = _span(data, begin, end)
        elif key == 0x22 or key == 0x2A or key == 0x32:  # image, histogram, audio
            if not _is_usual(data, _span(data, begin, end)[0], at, key):
                return False
            kinds += 1
        else:
            return False
    if kinds > 1 or found[_TAG] < 0 or (kinds == 0 and found[_METADATA] >= 0):
        return False
    return found[_TENSOR] < 0 or _tensor(data, found[_TENSOR], found[_TENSOR_END], found)


@inlined
def _summary_of(data, at, end, found):
    """Find an event's wall time, step and summary; false for an unusual form."""
    found[_WALL_TIME] = found[_SUMMARY] = found[_SUMMARY_END] = -1
    found[_STEP] = 0
    while at < end:
        key, begin = data[at], at + 1
        at = _behind(data, begin, end, key)
        if at < 0:
            return False
        if key == 0x09:  # wall_time
            found[_WALL_TIME] = begin
        elif key == 0x10:  # step
            found[_STEP] = np.int64(_varint(data, begin, end)[0])
        elif key == 0x2A and found[_SUMMARY] < 0:  # summary
            found[_SUMMARY], found[_SUMMARY_END] = _span(data, begin, end)
        else:
            return False
    return True


@inlined
def _event(data, at, end, plugins, tags, room, counts, scratch):
    """Take an event's values, all or none; returns DONE, or why none."""
    found, bits, numbers, floats = scratch
    if not _summary_of(data, at, end, found):
        return ODD
    wall_time, step, summary_end = 0.0, found[_STEP], found[_SUMMARY_END]
    if found[_WALL_TIME] >= 0:
        bits[0] = double_word(data, found[_WALL_TIME])
        wall_time = numbers[0]
    n, m = counts[VALUES], counts[VECTORS]
    at = found[_SUMMARY]
    while at < summary_end:
        key = data[at]
        begin, at = _span(data, at + 1, summary_end)
        if at < 0 or key != 0x0A or not _value(data, begin, at, found):
            return ODD
        tells = UNTOLD
        if found[_METADATA] >= 0:
            tells = _plugin(data, found[_METADATA], found[_METADATA_END], plugins)
        if tells < 0 or not _is_ascii(data, found[_TAG], found[_TAG] + found[_TAG_LENGTH]):
            return ODD
        if found[_SIMPLE] < 0 and found[_TENSOR] < 0:
            continue
        if n >= len(room.values) or m >= len(room.rows):
            return FULL
        tag = tag_at(data, found[_TAG], found[_TAG_LENGTH], tags, counts)
        if tag < 0:
            return ODD if tag == _UNUSUAL else NO_ROOM
        place, length = found[_SIMPLE], 4
        if place < 0:
            told = tags.known[tag, TAG_PLUGIN]
            if tells not in (UNTOLD, told):  # for the first time, or another than before
                return ODD
            place, length = found[_PLACE], found[_LENGTH]
            single = 4 if found[_DTYPE] == _DT_FLOAT else 8
            if told == VECTOR:
                if single == 8:
                    return ODD
                if length > 0:
                    room.rows[m, ROW_TAG], room.rows[m, ROW_STEP] = tag, step
                    room.rows[m, ROW_PLACE], room.rows[m, ROW_LENGTH] = place, length // 4
                    m += 1
                continue
            if told == OTHER or length != single:
                continue
        room.tag_of[n], room.steps[n], room.wall_times[n] = tag, step, wall_time
        bits[0] = word(data, place) if length == 4 else double_word(data, place)
        room.values[n] = np.float64(floats[0]) if length == 4 else numbers[0]
        n += 1
    counts[VALUES], counts[VECTORS] = n, m
    return DONE


@compiled_lean
def scan(data, at, tables, plugins, tags, room, counts, scratch):
    """Take records from `at` on until one needs a closer look or room runs out; returns its place, and why."""
    size = len(data)
    while at < size:
        if size - at < FRAME:
            return at, TAIL
        if masked_crc(data, at, 8, tables) != word(data, at + 8):
            return at, LENGTH_CRC
        length = double_word(data, at)
        if length > np.uint64(size - at - FRAME):
            return at, TAIL
        end = at + HEADER + np.int64(length)
        if masked_crc(data, at + HEADER, end - at - HEADER, tables) == word(data, end):
            why = _event(data, at + HEADER, end, plugins, tags, room, counts, scratch)
            if why != DONE:
                return at, why
            counts[EVENTS] += 1
        else:
            counts[BAD_RECORDS] += 1
        at = end + FOOTER
    return at, DONE


@compiled_lean
def new_tag(tags, counts):
    """The number of a new tag that no slot leads to; −1 without room."""
    new = counts[TAGS]
    if new >= len(tags.known):
        return -1
    tags.known[new, TAG_PLACE], tags.known[new, TAG_LENGTH], tags.known[new, TAG_PLUGIN] = -1, 0, UNTOLD
    counts[TAGS] += 1
    return new


@compiled_lean
def find_slots(tags, counts):
    """Put the tags into a new table of slots, which has more."""
    mask = np.uint64(len(tags.slots) - 1)
    for tag in range(counts[TAGS]):
        if tags.known[tag, TAG_PLACE] < 0:  # never in the usual form
            continue
        slot = _hash(tags.letters, tags.known[tag, TAG_PLACE], tags.known[tag, TAG_LENGTH], counts[SEED]) & mask
        while tags.slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        tags.slots[slot] = tag
