"""The checksum of event files at compiled speed, and little-endian numbers among bytes."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from diagnose.logs.compiling import compiled_lean

_POLYNOMIAL: Final = 0x82F63B78  # CRC-32C, reflected
_MASK_DELTA: Final = np.uint64(0xA282EAD8)


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


@compiled_lean
def word(data, at):
    """Four bytes as a number."""
    return np.uint32(
        np.uint32(data[at])
        | np.uint32(data[at + 1]) << np.uint32(8)
        | np.uint32(data[at + 2]) << np.uint32(16)
        | np.uint32(data[at + 3]) << np.uint32(24)
    )


@compiled_lean
def double_word(data, at):
    """Eight bytes as a number."""
    return np.uint64(word(data, at)) | np.uint64(word(data, at + 4)) << np.uint64(32)


@compiled_lean
def masked_crc(data, at, length, tables):
    """The CRC-32C of `length` bytes, eight at a time, rotated and offset as event files ask."""
    byte = np.uint32(255)
    crc = np.uint32(0xFFFFFFFF)
    end = at + length
    while end - at >= 8:
        low = np.uint32(crc ^ word(data, at))
        high = word(data, at + 4)
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
