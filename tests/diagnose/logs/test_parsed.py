"""What was read of a large file is kept: the next opening is the same, reads nothing twice, and trusts nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.util.tensor_util import make_tensor_proto

import diagnose
from diagnose.logs import following
from diagnose.logs.records import framed
from diagnose.logs.storage import LocalFile
from diagnose.logs.writing import EventFile


def write(folder, steps, layers=3, setup="{}"):
    with EventFile(folder) as file:
        file.write_setup(setup, 1.7e9)
        for step in steps:
            scalars = [("loss/train", 1 / (step + 1)), ("lr/group0", float("nan")), ("größe", 2.0)]
            file.write_step(step, 1.7e9 + step, scalars, {"layers/grad_norm": np.full(layers, step, "f4")})
    return file.path


def told(run):
    """Everything in a run, in a form that compares, NaN to NaN."""
    scalars = {
        tag: (one.steps.tobytes(), one.values.tobytes(), one.wall_times.tobytes()) for tag, one in run.scalars.items()
    }
    layers = {tag: (one.steps.tobytes(), one.values.tobytes()) for tag, one in run.layer_signals.items()}
    return scalars, layers, run.setup, run.names, run.unmapped, run.notes


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A run of which everything was kept, however small, and the bytes that are read of it from now on."""
    monkeypatch.setattr(following, "KEPT_FROM", 1)
    path = write(tmp_path / "run", range(100))
    first = diagnose.load(path)
    count = {"bytes": 0}
    content = LocalFile.content

    def counted(file, begin, end):
        count["bytes"] += end - begin
        return content(file, begin, end)

    monkeypatch.setattr(LocalFile, "content", counted)
    return path, told(first), count


def test_the_second_opening_gives_the_same_and_reads_nothing(kept):
    path, first, count = kept
    assert told(diagnose.load(path)) == first
    assert count["bytes"] == 0


def test_of_a_file_that_has_grown_only_the_rest_is_read(kept, tmp_path, monkeypatch):
    path, _, count = kept
    more = write(tmp_path / "more", range(100, 150)).read_bytes()
    with path.open("ab") as file:
        file.write(more)
    again = diagnose.load(path)
    assert count["bytes"] <= len(more) + 4 * following.MARK
    monkeypatch.setenv("DIAGNOSE_CACHE", "off")
    assert told(again) == told(diagnose.load(path))
    assert len(again.scalars["loss/train"]) == 150


@pytest.mark.parametrize("other", [range(100, 200), range(100), range(50)], ids=["other steps", "same size", "shorter"])
def test_another_file_in_its_place_is_read_as_a_whole(kept, tmp_path, other):
    path, first, _ = kept
    write(tmp_path / "other", other, layers=4).replace(path)
    run = diagnose.load(path)
    assert run.layer_signals["layers/grad_norm"].values.shape == (len(other), 4)
    assert told(run) != first
    assert not run.notes


def test_a_value_that_is_changed_in_its_place_is_read(kept):
    path, first, _ = kept
    content = path.read_bytes()
    begin, end = content.index(b"gr\xc3\xb6\xc3\x9fe", len(content) // 2), 0
    for at, record in placed_records(content):
        if at < begin < at + len(record):
            end = at + len(record)
            changed = framed(record.replace(np.float32(2).tobytes(), np.float32(7).tobytes()))
            path.write_bytes(content[: at - 12] + changed + content[end + 4 :])
            break
    assert path.stat().st_size == len(content)
    assert 7.0 in diagnose.load(path).scalars["größe"].values
    assert told(diagnose.load(path)) != first


def placed_records(content):
    at = 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 8], "little")
        yield at + 12, content[at + 12 : at + 12 + length]
        at += length + 16


def test_what_one_read_before_the_run_goes_on_is_known_after_it(tmp_path, monkeypatch):
    """Texts, restarts, steps out of order, and vectors whose plugin only their first value told."""
    monkeypatch.setattr(following, "KEPT_FROM", 1)
    vector = Summary.Value(tag="layers/grad_norm", tensor=make_tensor_proto(np.ones(3, "f4")))
    vector.metadata.plugin_data.plugin_name = "diagnose"
    later = Summary.Value(tag="layers/grad_norm", tensor=make_tensor_proto(np.ones(3, "f4")))
    scalar = [Summary.Value(tag="loss/train", simple_value=step) for step in range(6)]
    events = [
        *(Event(step=step, wall_time=step, summary=Summary(value=[scalar[step], vector])) for step in (0, 3, 1, 2)),
        Event(step=2, wall_time=4, session_log=SessionLog(status=SessionLog.START)),
        *(Event(step=step, wall_time=step, summary=Summary(value=[scalar[step], later])) for step in (4, 5)),
    ]
    parts = [framed(event.SerializeToString()) for event in events]
    path = tmp_path / "events.out.tfevents.1"
    for cut in range(1, len(parts) + 1):
        path.write_bytes(b"".join(parts[:cut]))
        cached = told(diagnose.load(path))
        with monkeypatch.context() as patch:
            patch.setenv("DIAGNOSE_CACHE", "off")
            assert cached == told(diagnose.load(path))
    assert diagnose.load(path).scalars["loss/train"].steps.tolist() == [0, 1, 4, 5]


def test_what_another_version_kept_is_not_believed(kept, monkeypatch):
    path, first, count = kept
    monkeypatch.setattr("diagnose.logs.parsed.VERSION", "another")
    assert told(diagnose.load(path)) == first
    assert count["bytes"] > 0


def test_of_a_log_with_damage_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(following, "KEPT_FROM", 1)
    path = write(tmp_path / "run", range(10))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert diagnose.load(path).notes
    assert not list(Path(os.environ["DIAGNOSE_CACHE"]).glob("parsed/*"))


def test_a_half_written_record_is_read_once_it_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(following, "KEPT_FROM", 1)
    path = write(tmp_path / "run", range(100))
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    assert "incomplete" in diagnose.load(path).notes[0]
    assert "incomplete" in diagnose.load(path).notes[0]
    path.write_bytes(content)
    run = diagnose.load(path)
    assert len(run.scalars["loss/train"]) == 100
    assert not run.notes


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_became_of_what_was_kept_the_run_is_the_same(kept, draw):
    path, first, _ = kept
    (parsed,) = Path(os.environ["DIAGNOSE_CACHE"]).glob("parsed/*.arrow")
    whole = parsed.read_bytes()
    cut = draw.draw(st.integers(0, len(whole)))
    flipped = whole[:cut] + bytes(255 - byte for byte in whole[cut : cut + 1]) + whole[cut + 1 :]
    parsed.write_bytes(draw.draw(st.sampled_from([whole[:cut], b"", b"ARROW1" + whole[cut:], flipped])))
    assert told(diagnose.load(path)) == first


def test_nothing_is_kept_beside_the_log_nor_where_it_cannot_be(kept, monkeypatch, tmp_path):
    path, first, _ = kept
    assert list(path.parent.iterdir()) == [path]
    (tmp_path / "file").write_text("no folder")
    for place in (str(tmp_path / "file"), "/proc/nowhere", "off"):
        monkeypatch.setenv("DIAGNOSE_CACHE", place)
        assert told(diagnose.load(path)) == first


def test_what_was_used_longest_ago_goes_first(kept, monkeypatch, tmp_path):
    from diagnose.logs import parsed

    folder = Path(os.environ["DIAGNOSE_CACHE"]) / "parsed"
    (oldest,) = folder.iterdir()
    os.utime(oldest, (1, 1))
    monkeypatch.setattr(parsed, "MOST_BYTES", int(1.5 * oldest.stat().st_size))
    diagnose.load(write(tmp_path / "another", range(100)))
    (left,) = folder.iterdir()
    assert left != oldest
