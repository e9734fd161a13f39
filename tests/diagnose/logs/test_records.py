"""The framing of event files: every whole record is kept, every loss is counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

import diagnose
from diagnose.logs.records import Damage, framed, records


def records_of(content: bytes) -> tuple[list[bytes], Damage]:
    damage = Damage()
    return [record.content for record in records(content, damage)], damage


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_what_is_framed_is_read_back(data):
    read, damage = records_of(b"".join(map(framed, data)))
    assert read == data
    assert damage.notes("events") == []


def test_our_frames_are_tensorboards_frames(tmp_path):
    with (tmp_path / "theirs").open("wb") as file:
        RecordWriter(file).write(b"some data")
    assert (tmp_path / "theirs").read_bytes() == framed(b"some data")


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=6), st.data())
def test_a_file_cut_anywhere_gives_every_whole_record(data, draw):
    whole = b"".join(map(framed, data))
    cut = draw.draw(st.integers(0, len(whole)))
    read, damage = records_of(whole[:cut])
    assert read == data[: len(read)]
    ends = [sum(len(framed(d)) for d in data[: n + 1]) for n in range(len(data))]
    assert len(read) == sum(end <= cut for end in ends)
    assert (damage.incomplete_bytes > 0) == (cut not in [0, *ends])
    if damage.missing_bytes:
        assert cut + damage.missing_bytes in ends


def test_a_flipped_bit_in_the_data_costs_that_record_alone():
    frames = [framed(b"first"), bytearray(framed(b"second")), framed(b"third")]
    frames[1][14] ^= 1
    read, damage = records_of(b"".join(frames))
    assert read == [b"first", b"third"]
    assert "1 record(s) failed their checksum" in damage.notes("events")[0]


def test_a_length_of_two_to_the_sixty_allocates_nothing():
    monster = bytearray(framed(b"x"))
    monster[:8] = (2**60).to_bytes(8, "little")
    read, damage = records_of(framed(b"first") + bytes(monster))
    assert read == [b"first"]
    assert damage.lost_bytes == len(monster)


@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"not an event file at all, just some text\n" * 10])
def test_what_is_no_event_file_gives_no_run(tmp_path, content):
    (tmp_path / "events.out.tfevents.1").write_bytes(content)
    with pytest.raises(diagnose.NoRunError, match="holds no event"):
        diagnose.load(tmp_path)


def test_a_record_that_is_no_event_is_counted(tmp_path):
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(framed(Event(step=1, file_version="brain.Event:2").SerializeToString()) + framed(b"\xff\xff\xff"))
    assert "1 record(s) are no event" in diagnose.load(path).notes[0]
