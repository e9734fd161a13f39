"""Reading event files: from records to each tag's steps, wall times and values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.types_pb2 import (
    DT_BFLOAT16,
    DT_DOUBLE,
    DT_FLOAT,
    DT_HALF,
    DT_INT32,
    DT_INT64,
    DT_STRING,
)

from diagnose.logs import layout
from diagnose.logs.printable import printable
from diagnose.logs.records import RecordFile

# dtype -> (NumPy type of tensor_content, the message's field of single values)
_NUMBERS: Final = {
    DT_FLOAT: ("<f4", "float_val"),
    DT_DOUBLE: ("<f8", "double_val"),
    DT_HALF: ("<f2", "half_val"),
    DT_INT32: ("<i4", "int_val"),
    DT_INT64: ("<i8", "int64_val"),
}


@dataclass
class Column:
    """One tag's values in the order of the file."""

    steps: list[int] = field(default_factory=list)
    wall_times: list[float] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def append(self, step: int, wall_time: float, value: float | NDArray[np.float32]) -> None:
        """Add one value."""
        self.steps.append(step)
        self.wall_times.append(wall_time)
        self.values.append(value)

    def extend(self, other: Column) -> None:
        """Add all of another column's values behind this one's."""
        self.steps += other.steps
        self.wall_times += other.wall_times
        self.values += other.values


@dataclass
class EventData:
    """What event files hold: scalars and vectors by tag, the last text of each tag, notes on what was lost."""

    scalars: dict[str, Column] = field(default_factory=dict)
    vectors: dict[str, Column] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    events: int = 0


def read_event_file(path: Path) -> EventData:
    """Read every whole record of one file; raises `OSError` where the file cannot be opened."""
    data = EventData()
    plugins: dict[str, str] = {}
    records = RecordFile(path)
    unparsed = 0
    for record in records:
        try:
            event = Event.FromString(record)
        except DecodeError:
            unparsed += 1
            continue
        data.events += 1
        for value in event.summary.value:
            value.tag = printable(value.tag)
            _take(data, plugins, event.step, event.wall_time, value)
    data.notes += records.damage.notes(path.name)
    if unparsed:
        data.notes.append(f"{path.name}: {unparsed} record(s) are no event and were left out.")
    return data


def _take(data: EventData, plugins: dict[str, str], step: int, wall_time: float, value: Any) -> None:
    if value.HasField("simple_value"):
        data.scalars.setdefault(value.tag, Column()).append(step, wall_time, value.simple_value)
        return
    if not value.HasField("tensor"):
        return  # an image, a histogram, audio: nothing that a curve could be drawn from
    if value.HasField("metadata"):
        plugins[value.tag] = value.metadata.plugin_data.plugin_name
    plugin = plugins.get(value.tag, "")
    if value.tensor.dtype == DT_STRING:
        if plugin == layout.TEXT_PLUGIN and value.tensor.string_val:
            data.texts[value.tag] = value.tensor.string_val[0].decode(errors="replace")
        return
    numbers = _numbers(value.tensor)
    if plugin == layout.VECTOR_PLUGIN:
        data.vectors.setdefault(value.tag, Column()).append(step, wall_time, numbers.astype(np.float32))
    elif numbers.size == 1 and plugin in {"", "scalars"}:
        data.scalars.setdefault(value.tag, Column()).append(step, wall_time, float(numbers[0]))


def _numbers(tensor: Any) -> NDArray[Any]:
    """The tensor's values as a flat array; empty for types that hold no number.

    The declared shape is never trusted: only as much is allocated as the message really holds.
    """
    if tensor.dtype == DT_BFLOAT16:
        halves = (
            np.frombuffer(tensor.tensor_content, "<u2") if tensor.tensor_content else np.array(tensor.half_val, "<u2")
        )
        return (halves.astype(np.uint32) << 16).view(np.float32)
    if tensor.dtype not in _NUMBERS:
        return np.empty(0)
    kind, single_values = _NUMBERS[tensor.dtype]
    if tensor.tensor_content:
        whole = len(tensor.tensor_content) // np.dtype(kind).itemsize * np.dtype(kind).itemsize
        return np.frombuffer(tensor.tensor_content[:whole], kind)
    values = getattr(tensor, single_values)
    if tensor.dtype == DT_HALF:  # held as integers that carry the bits
        return np.array(values, np.uint16).view(np.float16)
    return np.array(values, kind)
