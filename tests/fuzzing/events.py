"""Event files mutated where it hurts: inside their records, with checksums that hold."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from diagnose.logs.layout import HPARAMS_PLUGIN, TEXT_PLUGIN, VECTOR_PLUGIN
from diagnose.logs.records import Damage, framed, masked_crc, records
from tests.fuzzing.hostile import FLOATS, INTEGERS, SETUPS, TEXTS

Random = random.Random
MOST_CHANGES: Final = 4
PLUGINS: Final = ("", "scalars", "images", TEXT_PLUGIN, VECTOR_PLUGIN, HPARAMS_PLUGIN)
MOST_COPIES: Final = 200
SPLICED: Final = 0.15  # of the changes take records from another file


def mutated_events(content: bytes, others: Sequence[bytes], chance: Random) -> bytes:
    """Some records changed, moved, repeated or taken from other files; lengths and checksums are made anew."""
    parts = contents(content)
    for _ in range(chance.randint(1, MOST_CHANGES)):
        if chance.random() < SPLICED:
            parts = _spliced(parts, contents(chance.choice(others)), chance)
        else:
            parts = chance.choice((_moved, _in_bytes, _in_fields, _in_fields, _in_fields, _everywhere))(parts, chance)
    whole = [framed(part) for part in parts]
    if chance.random() < 0.1:
        whole.insert(chance.randrange(len(whole) + 1), _claiming(chance))
    return b"".join(whole)


def contents(file: bytes) -> list[bytes]:
    """What a file's records hold."""
    return [record.content for record in records(file, Damage())]


def _claiming(chance: Random) -> bytes:
    """A record whose length, with a checksum that holds, is not what follows."""
    length = struct.pack("<Q", chance.choice((2**63, 2**64 - 1, 2**40, 10**9, 0, 17, chance.randrange(10_000))))
    return length + struct.pack("<I", masked_crc(length)) + chance.randbytes(chance.randrange(40))


def _moved(parts: list[bytes], chance: Random) -> list[bytes]:
    at, other = chance.randrange(len(parts)), chance.randrange(len(parts))
    how = chance.randrange(4)
    if how == 0:
        return parts[:at] + parts[other:]
    if how == 1:
        return parts[:at] + [parts[at]] * chance.randrange(MOST_COPIES) + parts[at:]
    if how == 2:
        return chance.sample(parts, len(parts))
    return parts[::-1]


def _spliced(parts: list[bytes], others: list[bytes], chance: Random) -> list[bytes]:
    at, begin = chance.randrange(len(parts) + 1), chance.randrange(len(others))
    return parts[:at] + others[begin : begin + chance.randrange(100)] + parts[at:]


def _in_bytes(parts: list[bytes], chance: Random) -> list[bytes]:
    at = chance.randrange(len(parts))
    changed = bytearray(parts[at])
    for _ in range(chance.choice((1, 1, 2, 8))):
        if changed:
            changed[chance.randrange(len(changed))] = chance.choice((0, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    end = chance.randrange(len(changed) + 1) if chance.random() < 0.3 else len(changed)
    return [*parts[:at], bytes(changed[:end]), *parts[at + 1 :]]


def _in_fields(parts: list[bytes], chance: Random) -> list[bytes]:
    at = chance.randrange(len(parts))
    return [*parts[:at], _with_field(parts[at], chance.choice(_FIELDS), chance), *parts[at + 1 :]]


def _everywhere(parts: list[bytes], chance: Random) -> list[bytes]:
    """The same kind of change in a share of all records."""
    change, share = chance.choice(_FIELDS), chance.choice((0.1, 0.5, 1.0))
    return [_with_field(part, change, chance) if chance.random() < share else part for part in parts]


def _with_field(part: bytes, change: Callable[[Any, Random], None], chance: Random) -> bytes:
    try:
        event = Event.FromString(part)
        change(event, chance)
        told: bytes = event.SerializeToString()
    except (DecodeError, ValueError):  # of a part that was changed before, or a text that no field takes
        return part
    return told


def _step(event: Any, chance: Random) -> None:
    event.step = chance.choice((*INTEGERS, event.step // 2, event.step + 10**6))


def _wall_time(event: Any, chance: Random) -> None:
    event.wall_time = chance.choice((*FLOATS, event.wall_time - 1e6))


def _restart(event: Any, chance: Random) -> None:
    event.session_log.status = chance.choice((SessionLog.START, SessionLog.STOP))


def _value(event: Any, chance: Random) -> None:
    for value in event.summary.value:
        value.simple_value = chance.choice(FLOATS)


def _scaled(event: Any, chance: Random) -> None:
    for value in event.summary.value:
        if value.HasField("simple_value"):
            with np.errstate(all="ignore"):
                value.simple_value = float(np.float32(value.simple_value * chance.choice((-1, 0, 1e-30, 1e30, 1e3))))


def _tag(event: Any, chance: Random) -> None:
    for value in event.summary.value:
        value.tag = chance.choice((*TEXTS, value.tag + "/x"))


def _plugin(event: Any, chance: Random) -> None:
    for value in event.summary.value:
        value.metadata.plugin_data.plugin_name = chance.choice(PLUGINS)
        value.metadata.plugin_data.content = chance.choice((value.metadata.plugin_data.content, chance.randbytes(9)))


def _tensor(event: Any, chance: Random) -> None:
    for value in event.summary.value:
        tensor = value.tensor
        how = chance.randrange(5)
        if how == 0:
            tensor.dtype = chance.choice((0, 1, 2, 3, 7, 9, 10, 14, 19, 23, 101))
        elif how == 1:
            for _ in range(chance.choice((0, 1, 3, 300))):
                tensor.tensor_shape.dim.add().size = chance.choice(INTEGERS)
        elif how == 2:
            tensor.tensor_content = chance.randbytes(chance.choice((0, 1, 4, 7, 8, 64)))
        elif how == 3:
            tensor.float_val.extend(chance.choices([x for x in FLOATS if abs(x) < 1e38 or x != x], k=3))  # noqa: PLR0124
        else:
            tensor.string_val.append(chance.choice(SETUPS).encode())
            tensor.dtype = 7


def _repeated(event: Any, chance: Random) -> None:
    for value in list(event.summary.value)[:3]:
        event.summary.value.extend([value] * chance.choice((1, 2, 50)))


_FIELDS: Final = (_step, _wall_time, _restart, _value, _scaled, _tag, _plugin, _tensor, _repeated)
