"""Event files at compiled speed: runs over records in the usual form, and stops at each that needs a closer look.

Compiled by Numba when first used on a machine, and kept for the next time where there is a place for that. What
it takes of a record is exactly what `diagnose/logs/reading.py` would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Why it stopped.
DONE, FULL, NO_ROOM, ODD, TAIL, LENGTH_CRC = range(6)
# Places in the array of counts.
VALUES, VECTORS, TAGS, LETTERS, EVENTS, BAD_RECORDS, COUNTS = range(7)
# A tag: its place among the letters of all, its length, what its plugin makes of tensors.
TAG_PLACE, TAG_LENGTH, TAG_PLUGIN, TAG = range(4)
PLAIN, VECTOR, OTHER = range(3)
# A vector: its tag, step, place in the file and length in numbers.
ROW_TAG, ROW_STEP, ROW_PLACE, ROW_LENGTH, ROW = range(5)

HEADER, FOOTER = 12, 4  # bytes of a record before and behind its content
FRAME = HEADER + FOOTER

_POLYNOMIAL: Final = 0x82F63B78  # CRC-32C, reflected
_MASK_DELTA: Final = np.uint64(0xA282EAD8)
_DT_FLOAT, _DT_DOUBLE = 1, 2
_UNUSUAL = -2  # a tag whose bytes might be no text

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _compiled(function: _Function) -> _Function:
    try:
        compiled: Any = njit(cache=True)(function)
    except RuntimeError:  # no place to keep it in
        compiled = njit(function)
    return cast("_Function", compiled)


def _crc_tables() -> NDArray[np.uint32]:
    """Tables for eight bytes at a time (slicing-by-8), of shape (8, 256)."""
    tables = np.zeros((8, 256), np.uint32)
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        tables[0, byte] = crc
    for number in range(1, 8):
        tables[number] = (tables[number - 1] >> 8) ^ tables[0][tables[number - 1] & 255]
    return tables


CRC_TABLES: Final = _crc_tables()


@_compiled
def _word(data, at):
    return np.uint32(
        np.uint32(data[at])
        | np.uint32(data[at + 1]) << np.uint32(8)
        | np.uint32(data[at + 2]) << np.uint32(16)
        | np.uint32(data[at + 3]) << np.uint32(24)
    )


@_compiled
def _masked_crc(data, at, length, tables):
    byte = np.uint32(255)
    crc = np.uint32(0xFFFFFFFF)
    end = at + length
    while end - at >= 8:
        low = np.uint32(crc ^ _word(data, at))
        high = _word(data, at + 4)
        crc = np.uint32(
            tables[7, low & byte]
            ^ tables[6, (low >> np.uint32(8)) & byte]
            ^ tables[5, (low >> np.uint32(16)) & byte]
            ^ tables[4, low >> np.uint32(24)]
            ^ tables[3, high & byte]
            ^ tables[2, (high >> np.uint32(8)) & byte]
            ^ tables[1, (high >> np.uint32(16)) & byte]
            ^ tables[0, high >> np.uint32(24)]
        )
        at += 8
    while at < end:
        crc = np.uint32(tables[0, (crc ^ data[at]) & byte] ^ (crc >> np.uint32(8)))
        at += 1
    whole = np.uint64(crc) ^ np.uint64(0xFFFFFFFF)
    rotated = (whole >> np.uint64(15)) | (whole << np.uint64(17))
    return np.uint32((rotated + _MASK_DELTA) & np.uint64(0xFFFFFFFF))


@_compiled
def _varint(data, at, end):
    """The number and the place behind it; that is −1 where it does not end in time."""
    number = np.uint64(0)
    shift = np.uint64(0)
    for _ in range(10):
        if at >= end:
            return np.uint64(0), -1
        byte = np.uint64(data[at])
        at += 1
        number |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            return number, at
        shift += np.uint64(7)
    return np.uint64(0), -1


@_compiled
def _behind(data, at, end, wire):
    """The place behind a field's content, −1 where it is malformed; `at` stands behind the field's key."""
    if wire == 0:
        _, at = _varint(data, at, end)
        return at
    if wire == 1:
        return at + 8 if at + 8 <= end else -1
    if wire == 5:
        return at + 4 if at + 4 <= end else -1
    if wire == 2:
        length, at = _varint(data, at, end)
        if at < 0 or length > np.uint64(end - at):
            return -1
        return at + np.int64(length)
    return -1


@_compiled
def _hash(data, at, length):
    """FNV-1a."""
    hashed = np.uint64(14695981039346656037)
    for place in range(at, at + length):
        hashed = (hashed ^ np.uint64(data[place])) * np.uint64(1099511628211)
    return hashed


@_compiled
def tag_at(data, at, length, letters, slots, tags, counts):
    """The number of the tag that stands at `at`; a new one is added. −1 without room, _UNUSUAL beyond ASCII."""
    mask = np.uint64(len(slots) - 1)
    slot = _hash(data, at, length) & mask
    while slots[slot] >= 0:
        known = slots[slot]
        if tags[known, TAG_LENGTH] == length:
            first = tags[known, TAG_PLACE]
            same = True
            for place in range(length):
                if letters[first + place] != data[at + place]:
                    same = False
                    break
            if same:
                return known
        slot = (slot + np.uint64(1)) & mask
    for place in range(at, at + length):
        if data[place] >= 128:
            return _UNUSUAL
    new, first = counts[TAGS], counts[LETTERS]
    if new >= len(tags) or first + length > len(letters):
        return -1
    for place in range(length):
        letters[first + place] = data[at + place]
    slots[slot] = new
    tags[new, TAG_PLACE], tags[new, TAG_LENGTH], tags[new, TAG_PLUGIN] = first, length, PLAIN
    counts[TAGS] += 1
    counts[LETTERS] += length
    return new


@_compiled
def _same(data, at, length, text):
    if length != len(text):
        return False
    for place in range(length):
        if data[at + place] != text[place]:
            return False
    return True


@_compiled
def _plugin(data, at, end, scalars, vectors, hparams):
    """What a SummaryMetadata's plugin makes of tensors; −1 where the message is in an unusual form."""
    while at < end:
        key, at = _varint(data, at, end)
        if at < 0:
            return -1
        behind = _behind(data, at, end, key & np.uint64(7))
        if behind < 0:
            return -1
        if key == np.uint64(0x0A):  # plugin_data
            _, inner = _varint(data, at, behind)
            while inner < behind:
                name_key, inner = _varint(data, inner, behind)
                if inner < 0:
                    return -1
                after = _behind(data, inner, behind, name_key & np.uint64(7))
                if after < 0:
                    return -1
                if name_key == np.uint64(0x0A):  # plugin_name
                    length, inner = _varint(data, inner, after)
                    if length == np.uint64(0) or _same(data, inner, np.int64(length), scalars):
                        return PLAIN
                    if _same(data, inner, np.int64(length), hparams):
                        return -1
                    return VECTOR if _same(data, inner, np.int64(length), vectors) else OTHER
                inner = after
            return PLAIN
        at = behind
    return PLAIN


# Places in what is found of a value.
_TAG, _TAG_LENGTH, _SIMPLE, _TENSOR, _TENSOR_END, _METADATA, _METADATA_END = range(7)
_DTYPE, _PLACE, _LENGTH, _FIELD, _FOUND = range(7, 12)


@_compiled
def _tensor(data, at, end, found):
    """Find dtype, place and length of a TensorProto's numbers as bytes; false for an unusual form."""
    contents = 0
    found[_DTYPE] = 0
    while at < end:
        key, at = _varint(data, at, end)
        if at < 0:
            return False
        behind = _behind(data, at, end, key & np.uint64(7))
        if behind < 0:
            return False
        if key == np.uint64(0x08):  # dtype
            number, _ = _varint(data, at, end)
            found[_DTYPE] = np.int64(number)
        elif key == np.uint64(0x22) or key == np.uint64(0x2A) or key == np.uint64(0x32):
            # tensor_content, packed float_val, packed double_val
            length, found[_PLACE] = _varint(data, at, end)
            found[_LENGTH], found[_FIELD] = np.int64(length), np.int64(key)
            contents += 1
        elif key == np.uint64(0x2D) or key == np.uint64(0x31):  # one float_val, one double_val
            found[_PLACE], found[_LENGTH], found[_FIELD] = at, behind - at, 0x2A if key == np.uint64(0x2D) else 0x32
            contents += 1
        elif key != np.uint64(0x12) and key != np.uint64(0x18):  # shape, version_number
            return False
        at = behind
    if contents != 1:
        return False
    if found[_DTYPE] == _DT_FLOAT:
        return found[_FIELD] != 0x32 and found[_LENGTH] % 4 == 0
    return found[_DTYPE] == _DT_DOUBLE and found[_FIELD] != 0x2A and found[_LENGTH] % 8 == 0


@_compiled
def _value(data, at, end, found):
    """Find where the parts of a Summary.Value lie; false for an unusual form."""
    found[_TAG] = found[_SIMPLE] = found[_TENSOR] = found[_METADATA] = -1
    kinds = 0
    while at < end:
        key, at = _varint(data, at, end)
        if at < 0:
            return False
        behind = _behind(data, at, end, key & np.uint64(7))
        if behind < 0:
            return False
        if key == np.uint64(0x0A):  # tag
            length, found[_TAG] = _varint(data, at, end)
            found[_TAG_LENGTH] = np.int64(length)
        elif key == np.uint64(0x15):  # simple_value
            found[_SIMPLE] = at
            kinds += 1
        elif key == np.uint64(0x42):  # tensor
            _, found[_TENSOR] = _varint(data, at, end)
            found[_TENSOR_END] = behind
            kinds += 1
        elif key == np.uint64(0x4A) and found[_METADATA] < 0:  # metadata
            _, found[_METADATA] = _varint(data, at, end)
            found[_METADATA_END] = behind
        elif key == np.uint64(0x22) or key == np.uint64(0x2A) or key == np.uint64(0x32):  # image, histogram, audio
            kinds += 1
        else:
            return False
        at = behind
    if kinds > 1 or found[_TAG] < 0 or (kinds == 0 and found[_METADATA] >= 0):
        return False
    return found[_TENSOR] < 0 or _tensor(data, found[_TENSOR], found[_TENSOR_END], found)


@_compiled
def scan(
    data, at, tables, scalars, vectors, hparams, letters, slots, tags, tag_of, steps, wall_times, values, rows, counts
):
    """Take records from `at` on until one needs a closer look or room runs out; returns its place, and why."""
    size = len(data)
    found = np.zeros(_FOUND, np.int64)
    bits = np.zeros(1, np.uint64)
    doubles, floats = bits.view(np.float64), bits.view(np.float32)
    n, m = counts[VALUES], counts[VECTORS]
    while at < size:
        outcome = DONE
        if size - at < 16:
            outcome = TAIL
            break
        if _masked_crc(data, at, 8, tables) != _word(data, at + 8):
            outcome = LENGTH_CRC
            break
        length = np.uint64(_word(data, at)) | np.uint64(_word(data, at + 4)) << np.uint64(32)
        if length > np.uint64(size - at - 16):
            outcome = TAIL
            break
        place = at + 12
        end = place + np.int64(length)
        if _masked_crc(data, place, end - place, tables) != _word(data, end):
            counts[BAD_RECORDS] += 1
            at = end + 4
            continue
        wall_time, step, summary, summary_end = 0.0, np.int64(0), np.int64(-1), np.int64(-1)
        while place < end:
            key, place = _varint(data, place, end)
            if place < 0:
                outcome = ODD
                break
            behind = _behind(data, place, end, key & np.uint64(7))
            if behind < 0:
                outcome = ODD
                break
            if key == np.uint64(0x09):  # wall_time
                bits[0] = np.uint64(_word(data, place)) | np.uint64(_word(data, place + 4)) << np.uint64(32)
                wall_time = doubles[0]
            elif key == np.uint64(0x10):  # step
                number, _ = _varint(data, place, end)
                step = np.int64(number)
            elif key == np.uint64(0x2A) and summary < 0:  # summary
                _, summary = _varint(data, place, end)
                summary_end = behind
            else:
                outcome = ODD
                break
            place = behind
        place = summary
        while outcome == DONE and 0 <= place < summary_end:
            key, place = _varint(data, place, summary_end)
            behind = _behind(data, place, summary_end, np.uint64(2)) if place >= 0 else -1
            if behind < 0 or key != np.uint64(0x0A):  # value
                outcome = ODD
                break
            _, place = _varint(data, place, summary_end)
            if not _value(data, place, behind, found):
                outcome = ODD
                break
            place = behind
            if found[_SIMPLE] < 0 and found[_TENSOR] < 0:
                continue
            if n >= len(tag_of) or m >= len(rows):
                outcome = FULL
                break
            tag = tag_at(data, found[_TAG], found[_TAG_LENGTH], letters, slots, tags, counts)
            if tag < 0:
                outcome = ODD if tag == _UNUSUAL else NO_ROOM
                break
            if found[_SIMPLE] >= 0:
                bits[0] = np.uint64(_word(data, found[_SIMPLE]))
                value = np.float64(floats[0])
            else:
                if found[_METADATA] >= 0:
                    plugin = _plugin(data, found[_METADATA], found[_METADATA_END], scalars, vectors, hparams)
                    if plugin < 0:
                        outcome = ODD
                        break
                    tags[tag, TAG_PLUGIN] = plugin
                single = 4 if found[_DTYPE] == _DT_FLOAT else 8
                if tags[tag, TAG_PLUGIN] == VECTOR:
                    if single == 8:
                        outcome = ODD
                        break
                    if found[_LENGTH] == 0:
                        continue
                    rows[m, ROW_TAG], rows[m, ROW_STEP] = tag, step
                    rows[m, ROW_PLACE], rows[m, ROW_LENGTH] = found[_PLACE], found[_LENGTH] // 4
                    m += 1
                    continue
                if tags[tag, TAG_PLUGIN] == OTHER or found[_LENGTH] != single:
                    continue
                bits[0] = np.uint64(_word(data, found[_PLACE]))
                if single == 8:
                    bits[0] |= np.uint64(_word(data, found[_PLACE] + 4)) << np.uint64(32)
                    value = doubles[0]
                else:
                    value = np.float64(floats[0])
            tag_of[n], steps[n], wall_times[n], values[n] = tag, step, wall_time, value
            n += 1
        if outcome != DONE:
            break
        counts[VALUES], counts[VECTORS] = n, m
        counts[EVENTS] += 1
        at = end + 4
    else:
        outcome = DONE
    return at, outcome


@_compiled
def new_tag(tags, counts):
    """The number of a new tag that no slot leads to; −1 without room."""
    new = counts[TAGS]
    if new >= len(tags):
        return -1
    tags[new, TAG_PLACE], tags[new, TAG_LENGTH], tags[new, TAG_PLUGIN] = -1, 0, PLAIN
    counts[TAGS] += 1
    return new


@_compiled
def find_slots(letters, slots, tags, count):
    """Put the tags into a new table of slots, which has more."""
    mask = np.uint64(len(slots) - 1)
    for tag in range(count):
        if tags[tag, TAG_PLACE] < 0:  # never in the usual form
            continue
        slot = _hash(letters, tags[tag, TAG_PLACE], tags[tag, TAG_LENGTH]) & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = tag


@_compiled
def by_tag(tag_of, tags, steps, wall_times, values):
    """The columns sorted by tag, each tag's in their order, and where in them each tag begins."""
    starts = np.zeros(tags + 1, np.int64)
    for tag in tag_of:
        starts[tag + 1] += 1
    starts = np.cumsum(starts)
    ends = starts[:-1].copy()
    sorted_steps, sorted_times, sorted_values = np.empty_like(steps), np.empty_like(wall_times), np.empty_like(values)
    for row in range(len(tag_of)):
        place = ends[tag_of[row]]
        ends[tag_of[row]] += 1
        sorted_steps[place], sorted_times[place], sorted_values[place] = steps[row], wall_times[row], values[row]
    return starts, sorted_steps, sorted_times, sorted_values


@_compiled
def gathered(data, places, length):
    """The vectors of `length` float32 numbers that stand at these places, of shape (places, length)."""
    content = np.empty((len(places), 4 * length), np.uint8)
    for row in range(len(places)):
        content[row] = data[places[row] : places[row] + 4 * length]
    return content.view(np.float32)
