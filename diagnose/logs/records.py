"""The record framing of event files: length, CRC of the length, data, CRC of the data.

Every field is little-endian: uint64 length, uint32 masked CRC-32C of the length's 8 bytes, the data,
uint32 masked CRC-32C of the data (TensorFlow's record_writer.h).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import google_crc32c
import numpy as np
from numpy.typing import NDArray

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
FRAME_BYTES = _HEADER.size + _FOOTER.size


def masked_crc(data: bytes) -> int:
    """CRC-32C of `data`, rotated and offset as the format asks (a CRC of CRCs would be weak)."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def framed(data: bytes) -> bytes:
    """One record as it stands in the file."""
    length = len(data).to_bytes(8, "little")
    return b"".join(
        (length, _FOOTER.pack(masked_crc(length)), data, _FOOTER.pack(masked_crc(data))),
    )


@dataclass
class Damage:
    """What could not be read of one file."""

    bad_records: int = 0
    too_long_records: int = 0
    lost_bytes: int = 0  # behind a length that is wrong: nobody knows where the next record begins
    incomplete_bytes: int = 0  # of a record that is not whole yet
    missing_bytes: int = 0  # that it would take to make it whole, as far as its length is there

    @property
    def sound(self) -> bool:
        """Whether nothing was lost; the last record may be incomplete."""
        return not (self.bad_records or self.too_long_records or self.lost_bytes)

    def notes(self, name: str) -> list[str]:
        """One sentence per kind of loss, none for a sound file."""
        notes = []
        if self.bad_records:
            notes.append(f"{name}: {self.bad_records} record(s) failed their checksum and were left out.")
        if self.too_long_records:
            notes.append(f"{name}: {self.too_long_records} record(s) too long to be read were left out.")
        if self.lost_bytes:
            notes.append(f"{name}: the last {self.lost_bytes:,} bytes could not be read as records.")
        if self.incomplete_bytes:
            notes.append(f"{name}: the last record is incomplete; the run may still be writing it.")
        return notes

    def ended_at(self, content: bytes | NDArray[np.uint8], *, framing_broken: bool) -> None:
        """Reading stopped before `content`, of which there may be nothing."""
        self.lost_bytes = len(content) if framing_broken else 0
        self.incomplete_bytes = 0 if framing_broken else len(content)
        self.missing_bytes = 0
        if self.incomplete_bytes >= _HEADER.size:
            self.missing_bytes = FRAME_BYTES + int(_HEADER.unpack(bytes(content[: _HEADER.size]))[0]) - len(content)


class Record(NamedTuple):
    """A record's content, and the place behind it."""

    content: bytes
    end: int


def records(content: bytes, damage: Damage) -> Iterator[Record]:
    """Yield each record whose checksums hold; stop where the framing itself is broken.

    A wrong length cannot be skipped (nobody knows where the next record starts), so it ends the
    file; a wrong data checksum costs that record alone. No length is trusted before it fits.
    """
    size, position, broken = len(content), 0, False
    while size - position >= FRAME_BYTES:
        length, length_crc = _HEADER.unpack_from(content, position)
        broken = masked_crc(content[position : position + 8]) != length_crc
        end = position + FRAME_BYTES + length
        if broken or end > size:
            break
        data = content[position + _HEADER.size : end - _FOOTER.size]
        if masked_crc(data) == _FOOTER.unpack_from(content, end - _FOOTER.size)[0]:
            yield Record(data, end)
        else:
            damage.bad_records += 1
        position = end
    damage.ended_at(content[position:], framing_broken=broken)
