"""What is read of an event file: the same at compiled speed as one by one, and the same as TensorBoard reads."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.util.tensor_util import make_tensor_proto
from torch.utils.tensorboard import SummaryWriter

from diagnose.logs import reading
from diagnose.logs.columns import EventData
from diagnose.logs.reading import EventReader
from diagnose.logs.records import framed


def read(content: bytes, monkeypatch, *, fast_from: int) -> tuple[EventData, EventReader]:
    monkeypatch.setattr(reading, "FAST_FROM", fast_from)
    data, reader = EventData(), EventReader("events")
    reader.read(np.frombuffer(content, np.uint8), data)
    return data, reader


def told(data: EventData, reader: EventReader) -> dict[str, object]:
    """Everything that was read, in a form that compares, NaN to NaN."""
    return {
        "scalars": {tag: [part.tobytes() for part in column.raw()] for tag, column in data.scalars.items()},
        "vectors": {
            tag: sorted((rows.shape[1], steps.tobytes(), rows.tobytes()) for steps, rows in column.parts())
            for tag, column in data.vectors.items()
        },
        "texts": data.texts,
        "config": {name: str(value) for name, value in data.config.items()},
        "events": data.events,
        "restarts": data.restarts,
        "notes": [*data.notes, *reader.notes],
        "offset": reader.offset,
    }


number = st.floats(width=32) | st.just(math.nan)
tags = st.sampled_from(["loss", "a/b", "layers/x", "", "größe", "x" * 200, "with\x1bescape", "with\rescape"])
tensors = st.one_of(
    st.lists(number, max_size=4).map(lambda values: make_tensor_proto(np.array(values, "f4"))),
    st.lists(number, max_size=4).map(lambda values: make_tensor_proto(np.array(values, "f8"))),
    st.lists(number, max_size=4).map(lambda v: TensorProto(dtype=1, tensor_content=np.array(v, "f4").tobytes())),
    st.lists(number, max_size=4).map(lambda v: TensorProto(dtype=2, tensor_content=np.array(v, "f8").tobytes())),
    st.integers(-(2**31), 2**31 - 1).map(lambda value: make_tensor_proto(np.int32(value))),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: make_tensor_proto(np.int64(value))),
    number.map(lambda value: make_tensor_proto(np.float16(np.clip(value, -6e4, 6e4)))),
    st.binary(max_size=9).map(lambda content: TensorProto(dtype=1, tensor_content=content)),
    st.binary(max_size=9).map(lambda content: TensorProto(dtype=14, tensor_content=content)),
    st.just(make_tensor_proto("some text")),
)
plugins = st.none() | st.sampled_from(["", "scalars", "diagnose", "text", "hparams", "histograms"])


@st.composite
def values(draw):
    value = Summary.Value(tag=draw(tags))
    plugin = draw(plugins)
    if plugin is not None:
        value.metadata.plugin_data.plugin_name = plugin
        value.metadata.summary_description = draw(st.sampled_from(["", "what it is"]))
    kind = draw(st.sampled_from(["simple", "tensor", "tensor", "image", "histogram", "audio", "none"]))
    if kind == "simple":
        value.simple_value = draw(number)
    elif kind == "tensor":
        value.tensor.CopyFrom(draw(tensors))
    elif kind == "image":
        value.image.height, value.image.encoded_image_string = 3, draw(st.binary(max_size=6))
    elif kind == "histogram":
        value.histo.num = 3
        value.histo.bucket_limit.extend(draw(st.lists(number, max_size=3)))
    elif kind == "audio":
        value.audio.sample_rate, value.audio.content_type = 8000.0, draw(st.sampled_from(["", "audio/wav", "größe"]))
        value.audio.encoded_audio_string = draw(st.binary(max_size=6))
    return value


@st.composite
def events(draw):
    event = Event(wall_time=draw(st.floats(0, 2e9)), step=draw(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 20)))
    kind = draw(st.sampled_from(["summary"] * 8 + ["version", "start", "log"]))
    if kind == "summary":
        event.summary.value.extend(draw(st.lists(values(), max_size=4)))
    elif kind == "version":
        event.file_version = "brain.Event:2"
    elif kind == "start":
        event.session_log.status = SessionLog.START
    else:
        event.log_message.message = "hello"
    return event


@settings(max_examples=300, deadline=None)
@given(st.lists(events(), max_size=12), st.data())
def test_compiled_reading_is_reading_one_by_one(stream, draw):
    records = [framed(event.SerializeToString()) for event in stream]
    content = b"".join(records)
    damage = draw.draw(st.sampled_from(["none", "cut", "flip", "no event"]))
    if damage == "cut" and content:
        content = content[: draw.draw(st.integers(0, len(content)))]
    elif damage == "flip" and content:
        place = draw.draw(st.integers(0, len(content) - 1))
        content = content[:place] + bytes([content[place] ^ 1 << draw.draw(st.integers(0, 7))]) + content[place + 1 :]
    elif damage == "no event":
        content += framed(draw.draw(st.binary(max_size=30))) + b"".join(records[:2])
    with pytest.MonkeyPatch.context() as patch:
        slow, fast = (told(*read(content, patch, fast_from=size)) for size in (2**60, 0))
    assert fast == slow


@st.composite
def mutations(draw, content: bytes) -> bytes:
    """The content with some of its bytes changed, cut out or doubled."""
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(0, max(len(content) - 1, 0)))
        end = min(begin + draw(st.integers(1, 4)), len(content))
        other = draw(
            st.sampled_from([b"", b"\xff" * 9 + b"\x01", b"\x80\x00", content[begin:end] * 2]) | st.binary(max_size=3)
        )
        content = content[:begin] + other + content[end:]
    return content


@settings(max_examples=500, deadline=None)
@given(st.lists(events(), max_size=6), st.data())
def test_records_that_are_sound_but_no_events_are_judged_alike(stream, draw):
    content = b"".join(framed(draw.draw(mutations(event.SerializeToString()))) for event in stream)
    with pytest.MonkeyPatch.context() as patch:
        slow, fast = (told(*read(content, patch, fast_from=size)) for size in (2**60, 0))
    assert fast == slow


@pytest.mark.parametrize(
    ("field", "content"),
    [
        (4, b"\x80\x04\x18\x03"),  # a group's end, in an image
        (5, b"\x32\x03abc"),  # three bytes of a histogram's limits
        (6, b"\x2a\x01\xff"),  # an audio's type that is no text
        (4, b"\x08"),
    ],
)
def test_an_event_whose_picture_is_none_is_left_out_in_both_ways(field, content, monkeypatch):
    value = b"\x0a\x01a" + bytes([field << 3 | 2, len(content)]) + content
    loss = Summary.Value(tag="loss", simple_value=1.0).SerializeToString()
    summary = b"".join(b"\x0a" + bytes([len(part)]) + part for part in (value, loss))
    record = framed(b"\x2a" + bytes([len(summary)]) + summary)
    for fast_from in (0, 2**60):
        data, reader = read(record, monkeypatch, fast_from=fast_from)
        assert data.scalars == {}
        assert reader.notes == ["events: 1 record(s) are no event and were left out."]


def test_a_tag_that_comes_first_with_a_text_when_there_is_no_room_left_for_tags(monkeypatch):
    bulk = pytest.importorskip("diagnose.logs.bulk")
    monkeypatch.setattr(bulk, "ROOM_FOR_TAGS", 4)
    text = Summary.Value(tag="note", tensor=make_tensor_proto("hello"))
    text.metadata.plugin_data.plugin_name = "text"
    values = [*(Summary.Value(tag=f"t{number}", simple_value=1) for number in range(4)), text]
    content = b"".join(framed(Event(summary=Summary(value=[value])).SerializeToString()) for value in values)
    assert read(content, monkeypatch, fast_from=0)[0].texts == {"note": "hello"}


def test_tags_that_look_alike_once_their_control_characters_are_gone_keep_their_order(monkeypatch):
    stream = [("a\r", 1.0), ("a\x01", 2.0), ("a\r", 3.0)]
    content = b"".join(
        framed(Event(step=5, summary=Summary(value=[Summary.Value(tag=t, simple_value=v)])).SerializeToString())
        for t, v in stream
    )
    for size in (2**60, 0):
        data, _ = read(content, monkeypatch, fast_from=size)
        assert data.scalars["a\N{REPLACEMENT CHARACTER}"].raw()[2].tolist() == [1, 2, 3]


def test_more_tags_and_values_than_there_was_room_for(monkeypatch):
    bulk = pytest.importorskip("diagnose.logs.bulk")
    for name, room in (("ROOM", 50), ("ROOM_FOR_TAGS", 4), ("ROOM_FOR_VECTORS", 8), ("LETTERS_OF_A_TAG", 2)):
        monkeypatch.setattr(bulk, name, room)
    vector = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="diagnose"))
    content = b"".join(
        framed(
            Event(
                step=step,
                summary=Summary(
                    value=[
                        *(Summary.Value(tag=f"{'x' * (i % 7)}{i}", simple_value=step * i) for i in range(step % 90)),
                        Summary.Value(
                            tag="layers/a",
                            metadata=vector if step == 0 else None,
                            tensor=TensorProto(dtype=1, tensor_content=np.full(5, step, "f4").tobytes()),
                        ),
                    ]
                ),
            ).SerializeToString()
        )
        for step in range(200)
    )
    slow, fast = (told(*read(content, monkeypatch, fast_from=size)) for size in (2**60, 0))
    assert fast == slow
    assert len(slow["scalars"]) == 89


def test_what_a_tags_first_value_said_holds_when_the_file_has_grown(monkeypatch):
    vector = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="diagnose"))
    tensor = TensorProto(dtype=1, tensor_content=np.ones(3, "f4").tobytes())
    first = framed(
        Event(
            step=1, summary=Summary(value=[Summary.Value(tag="v", metadata=vector, tensor=tensor)])
        ).SerializeToString()
    )
    later = framed(Event(step=2, summary=Summary(value=[Summary.Value(tag="v", tensor=tensor)])).SerializeToString())
    for sizes in ((2**60, 0), (0, 2**60), (0, 0)):
        data, reader = EventData(), EventReader("events")
        for content, size in zip((first, later), sizes, strict=True):
            monkeypatch.setattr(reading, "FAST_FROM", size)
            reader.read(np.frombuffer(content, np.uint8), data)
        assert len(data.vectors["v"]) == 2


def test_every_value_is_the_one_that_tensorboard_reads(demo_runs, tmp_path, monkeypatch):
    with SummaryWriter(tmp_path) as writer:
        for step in range(50):
            writer.add_scalar("Loss/train", 1 / (step + 1), step)
            writer.add_scalar("Loss/val", 2 / (step + 1), step, new_style=True)
            writer.add_scalar("double", step / 3, step, new_style=True, double_precision=True)
        writer.add_histogram("weights", np.arange(100), 3)
        writer.add_text("note", "hello")
    for path in [*Path(tmp_path).iterdir(), *demo_runs["healthy"].glob("*tfevents*"), *corpus()]:
        theirs = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0}).Reload()
        for size in (2**60, 0):
            data, _ = read(path.read_bytes(), monkeypatch, fast_from=size)
            assert set(theirs.Tags()["scalars"]) <= set(data.scalars)
            for tag in theirs.Tags()["scalars"]:
                expected = [(event.step, event.wall_time, event.value) for event in theirs.Scalars(tag)]
                ours = list(zip(*(part.tolist() for part in data.scalars[tag].raw()), strict=True))
                assert [struct.pack("<qdd", *one) for one in ours] == [struct.pack("<qdd", *one) for one in expected]


def corpus() -> list[Path]:
    """More logs, of other tools, in a folder that DIAGNOSE_CORPUS names."""
    folder = os.environ.get("DIAGNOSE_CORPUS")
    return sorted(Path(folder).glob("**/*tfevents*")) if folder else []
