"""Reading event files: from bytes to each tag's steps, wall times and values, from wherever the last read ended."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from diagnose.logs import layout
from diagnose.logs.columns import EventData
from diagnose.logs.printable import printable
from diagnose.logs.records import Damage, Record, records
from diagnose.logs.tensors import is_text, numbers_of

if TYPE_CHECKING:
    from diagnose.logs.bulk import BulkReader

FAST_FROM: Final = 4_000_000  # bytes: to read fewer takes less time than to load what was compiled
PLAIN_PLUGINS: Final = frozenset({"", "scalars"})

Bytes = NDArray[np.uint8]


class Scalar(NamedTuple):
    """One value of a tag."""

    tag: str
    step: int
    wall_time: float
    value: float


class Vector(NamedTuple):
    """One row of a tag that holds one number per layer."""

    tag: str
    step: int
    values: NDArray[np.float32]


class Text(NamedTuple):
    """A text that a tag holds."""

    tag: str
    text: str


class Restart(NamedTuple):
    """The training begins again at `step`: what was written for it and later steps is void."""

    step: int


class Config(NamedTuple):
    """Settings of the run, as TensorBoard's hparams plugin keeps them."""

    settings: dict[str, Any]


Item = Scalar | Vector | Text | Restart | Config


class EventReader:
    """Reads one event file, again and again as it grows; `offset` is where the next read begins."""

    read_so_far: ClassVar = [0]  # bytes of all files, by this process

    def __init__(self, name: str, wanted: Container[str] | None = None) -> None:
        self.offset = 0
        self.wanted = wanted  # tags of scalars and vectors; all without one
        self.damage = Damage()
        self.plugins: dict[str, str] = {}  # of tags whose values said theirs; later values need not
        self.newly_told: list[str] = []  # tags whose plugin was told, or changed; read and emptied by the bulk reader
        self._name = name
        self._unparsed = 0
        self._bulk: BulkReader | None = None

    @classmethod
    def resumed(cls, name: str, state: Mapping[str, Any]) -> EventReader:
        """One that reads on where another had ended, of which `state` was taken."""
        reader = cls(name)
        reader.offset, reader._unparsed = state["offset"], state["unparsed"]
        reader.damage, reader.plugins = Damage(**state["damage"]), dict(state["plugins"])
        return reader

    def state(self) -> dict[str, Any]:
        """All that it takes to read on later, as JSON can hold it."""
        unparsed, damage = self._unparsed, asdict(self.damage)
        return {"offset": self.offset, "unparsed": unparsed, "damage": damage, "plugins": self.plugins}

    @property
    def notes(self) -> list[str]:
        """What was lost so far, a sentence each."""
        unparsed = f"{self._name}: {self._unparsed} record(s) are no event and were left out."
        return [*self.damage.notes(self._name), *([unparsed] if self._unparsed else [])]

    def read(self, content: Bytes, data: EventData) -> None:
        """Add to `data` what `content` holds, the file's bytes from `offset` on, as far as its records are whole."""
        self.read_so_far[0] += len(content)
        bulk = self._bulk_reader() if self.read_so_far[0] >= FAST_FROM or self._bulk is not None else None
        if bulk is not None:
            bulk.read(content, data)
        else:
            for record in records(content.tobytes(), self.damage):
                for item in self.items_of(record, data):
                    add(item, data)
            data.settle()
        self.offset += len(content) - self.damage.incomplete_bytes - self.damage.lost_bytes

    def skip(self, length: int) -> None:
        """Pass over a record of `length` bytes, too long to be an event."""
        self.offset += length
        self.damage = Damage(self.damage.bad_records, too_long_records=self.damage.too_long_records + 1)

    def _bulk_reader(self) -> BulkReader | None:
        """None where Numba is not there for this Python."""
        if self._bulk is None:
            try:
                from diagnose.logs import bulk  # loading it takes as long as reading some megabytes without
            except ImportError:
                return None
            bulk.make_ready()
            self._bulk = bulk.BulkReader(self)
        return self._bulk

    def items_of(self, record: Record, data: EventData) -> Iterator[Item]:
        """What one record holds that is worth keeping; counts it in `data`, or among what is no event."""
        try:
            event = Event.FromString(record.content)
        except DecodeError:
            self._unparsed += 1
            return
        data.events += 1
        if event.HasField("session_log") and event.session_log.status == SessionLog.START:
            yield Restart(event.step)
        for value in event.summary.value:
            item = self._item(event.step, event.wall_time, printable(value.tag), value)
            if item is not None and not (isinstance(item, Scalar | Vector) and self.passes_over(item.tag)):
                yield item

    def passes_over(self, tag: str) -> bool:
        """Whether nobody asked for the scalars and vectors of that tag."""
        return self.wanted is not None and tag not in self.wanted

    def _item(self, step: int, wall_time: float, tag: str, value: Any) -> Item | None:
        if value.HasField("simple_value"):
            return Scalar(tag, step, wall_time, value.simple_value)
        if value.metadata.plugin_data.plugin_name == layout.HPARAMS_PLUGIN:
            return _config(value.metadata.plugin_data.content)
        if not value.HasField("tensor"):
            return None  # an image, a histogram, audio: nothing that a curve could be drawn from
        if value.HasField("metadata"):
            self._learn_plugin(tag, value.metadata.plugin_data.plugin_name)
        plugin = self.plugins.get(tag, "")
        if is_text(value.tensor):
            strings = value.tensor.string_val if plugin == layout.TEXT_PLUGIN else ()
            return Text(tag, strings[0].decode(errors="replace")) if strings else None
        numbers = numbers_of(value.tensor)
        if plugin == layout.VECTOR_PLUGIN:
            return Vector(tag, step, numbers.astype(np.float32)) if numbers.size else None
        alone = numbers.size == 1 and plugin in PLAIN_PLUGINS
        return Scalar(tag, step, wall_time, float(numbers[0])) if alone else None

    def _learn_plugin(self, tag: str, plugin: str) -> None:
        if self.plugins.get(tag) != plugin:
            self.plugins[tag] = plugin
            self.newly_told.append(tag)


def add(item: Item, data: EventData) -> None:
    """Add one item behind all others."""
    if isinstance(item, Scalar):
        data.scalar(item.tag).append(item.step, item.wall_time, item.value)
    elif isinstance(item, Vector):
        data.vector(item.tag).extend([item.step], item.values[None])
    elif isinstance(item, Text):
        data.texts[item.tag] = item.text
    elif isinstance(item, Config):
        data.config |= item.settings
    else:
        data.restart(item.step)


def _config(content: bytes) -> Config | None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    try:
        hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    except DecodeError:
        return None
    settings = {name: _plain(value) for name, value in hparams.items()}
    return Config(printable(settings)) if settings else None


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "list_value":
        return [_plain(part) for part in value.list_value.values]
    if kind == "struct_value":
        return {name: _plain(part) for name, part in value.struct_value.fields.items()}
    return getattr(value, kind) if kind not in {None, "null_value"} else None
