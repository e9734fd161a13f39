"""The record framing of event files: length, CRC of the length, data, CRC of the data.

Every field is little-endian: uint64 length, uint32 masked CRC-32C of the length's 8 bytes, the data,
uint32 masked CRC-32C of the data (TensorFlow's record_writer.h).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_FRAME_BYTES = _HEADER.size + _FOOTER.size


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
    lost_bytes: int = 0
    incomplete_tail: bool = False

    def notes(self, name: str) -> list[str]:
        """One sentence per kind of loss, none for a sound file."""
        notes = []
        if self.bad_records:
            notes.append(f"{name}: {self.bad_records} record(s) failed their checksum and were left out.")
        if self.lost_bytes:
            notes.append(f"{name}: the last {self.lost_bytes:,} bytes could not be read as records.")
        if self.incomplete_tail:
            notes.append(f"{name}: the last record is incomplete; the run may still be writing it.")
        return notes


@dataclass
class RecordFile:
    """The sound records of one file; iterating fills `damage`."""

    path: Path
    damage: Damage = field(default_factory=Damage)

    def __iter__(self) -> Iterator[bytes]:
        """Yield each record whose checksums hold; stop where the framing itself is broken.

        A wrong length cannot be skipped (nobody knows where the next record starts), so it ends the
        file; a wrong data checksum costs that record alone. No length is trusted before it fits.
        """
        content = self.path.read_bytes()
        size, position = len(content), 0
        while position < size:
            if size - position < _FRAME_BYTES:
                self.damage.incomplete_tail = True
                return
            length, length_crc = _HEADER.unpack_from(content, position)
            if masked_crc(content[position : position + 8]) != length_crc:
                self.damage.lost_bytes = size - position
                return
            end = position + _FRAME_BYTES + length
            if end > size:
                self.damage.incomplete_tail = True
                return
            data = content[position + _HEADER.size : end - _FOOTER.size]
            if masked_crc(data) == _FOOTER.unpack_from(content, end - _FOOTER.size)[0]:
                yield data
            else:
                self.damage.bad_records += 1
            position = end
