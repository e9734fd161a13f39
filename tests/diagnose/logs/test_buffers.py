"""Signals of the same events hold their steps and wall times once, and still hold what was written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

import diagnose
from diagnose.logs import following, reading
from diagnose.logs.buffers import Twins
from diagnose.logs.columns import Column, EventData
from diagnose.logs.loading import FollowedRun
from diagnose.logs.records import framed

TRAINING, VALIDATION = ("loss/train", "accuracy/train", "lr/group0"), ("loss/validation", "accuracy/validation")


def event(step, tags, **more):
    values = [Summary.Value(tag=tag, simple_value=step + place) for place, tag in enumerate(tags)]
    told = Event(step=step, wall_time=1.7e9 + step / 7, summary=Summary(value=values), **more)
    return framed(told.SerializeToString())


def log(steps):
    """A training, and every tenth step a validation: a record for each."""
    return b"".join(event(step, TRAINING) + (b"" if step % 10 else event(step, VALIDATION)) for step in steps)


def share(run, tags, part):
    first, *others = (getattr(run.scalars[tag], part) for tag in tags)
    return all(np.shares_memory(first, other) and len(first) == len(other) for other in others)


@pytest.fixture(params=["compiled", "one by one", "opened again"])
def way(request, monkeypatch):
    monkeypatch.setattr(reading, "FAST_FROM", 2**60 if request.param == "one by one" else 0)
    monkeypatch.setattr(following, "KEPT_FROM", 1 if request.param == "opened again" else 2**60)
    return request.param


def test_signals_of_the_same_events_share_their_steps_and_times(tmp_path, way):
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(log(range(200)))
    for _ in range(2):
        run = diagnose.load(path)
    for part in ("steps", "wall_times"):
        assert share(run, TRAINING, part), way
        assert share(run, VALIDATION, part), way
        assert not np.shares_memory(getattr(run.scalars["loss/train"], part), run.scalars["loss/validation"].steps)
    assert run.scalars["loss/validation"].steps.tolist() == list(range(0, 200, 10))
    assert run.scalars["lr/group0"].values.tolist() == list(range(2, 202))


def test_they_share_them_still_as_the_file_grows(tmp_path, way):
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(b"")
    followed = FollowedRun(path)
    for begin in range(0, 200, 50):
        with path.open("ab") as file:
            file.write(log(range(begin, begin + 50)))
        run = followed.refresh()
        assert share(run, TRAINING, "steps") and share(run, TRAINING, "wall_times"), way
        assert share(run, VALIDATION, "steps") and share(run, VALIDATION, "wall_times"), way
    assert run.scalars["accuracy/train"].steps.tolist() == list(range(200))


def test_records_of_one_value_share_the_steps_alone(tmp_path, way):
    """As SummaryWriter.add_scalar writes them, read while one signal is ahead of the others."""
    path = tmp_path / "events.out.tfevents.1"
    summaries = [Summary(value=[Summary.Value(tag=TRAINING[n % 3], simple_value=n)]) for n in range(300)]
    events = [Event(step=n // 3, wall_time=n, summary=summary) for n, summary in enumerate(summaries)]
    parts = [framed(event.SerializeToString()) for event in events]
    path.write_bytes(b"".join(parts[:150]))
    followed = FollowedRun(path)
    followed.refresh()
    with path.open("ab") as file:
        file.write(b"".join(parts[150:151]))
    followed.refresh()
    with path.open("ab") as file:
        file.write(b"".join(parts[151:]))
    run = followed.refresh()
    assert share(run, TRAINING, "steps"), way
    assert not share(run, TRAINING, "wall_times")
    for place, tag in enumerate(TRAINING):
        assert run.scalars[tag].wall_times.tolist() == list(range(place, 300, 3))


def test_they_share_what_a_restart_leaves(tmp_path, way):
    path = tmp_path / "events.out.tfevents.1"
    again = framed(Event(step=20, wall_time=2e9, session_log=SessionLog(status=SessionLog.START)).SerializeToString())
    path.write_bytes(log(range(50)) + again + log(range(20, 60)))
    run = diagnose.load(path)
    assert share(run, TRAINING, "steps") and share(run, TRAINING, "wall_times"), way
    assert run.scalars["loss/train"].steps.tolist() == list(range(60))


def test_a_table_s_columns_share_their_steps(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,loss,acc\n" + "".join(f"{step},{step},{step}\n" for step in range(50)))
    run = diagnose.load(tmp_path / "metrics.csv")
    first, second = run.scalars.values()
    assert np.shares_memory(first.steps, second.steps)


def test_what_only_begins_and_ends_alike_is_not_shared():
    data, twins = EventData(), Twins()
    for tag, middle in ("a", 1), ("b", 2), ("c", 2):
        data.scalar(tag).extend([0, middle, 3], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], twins)
    assert [data.scalars[tag].raw()[0].tolist() for tag in "abc"] == [[0, 1, 3], [0, 2, 3], [0, 2, 3]]
    assert np.shares_memory(data.scalars["b"].raw()[0], data.scalars["c"].raw()[0])
    for tag, middle in ("a", 5), ("b", 6), ("c", 6):
        data.scalar(tag).extend([4, middle, 7], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], twins)
    assert [data.scalars[tag].raw()[0].tolist()[3:] for tag in "abc"] == [[4, 5, 7], [4, 6, 7], [4, 6, 7]]
    assert data.scalars["a"].raw()[1].tolist() == [0.0] * 6


NUMBERS = st.sampled_from([0.0, -0.0, 1.0, float("nan"), float("inf")])
ROWS = st.lists(st.tuples(st.integers(0, 3), NUMBERS, NUMBERS), max_size=4)


@given(st.lists(st.lists(st.tuples(st.sampled_from("abcd"), ROWS), max_size=6), max_size=5), st.booleans())
def test_whatever_is_read_in_whatever_parts_each_column_holds_its_own(looks, one_by_one):
    """Against columns that share nothing: the same bits, and what was handed out before stays as it was."""
    data, alone, handed_out = EventData(), {}, []
    for look in looks:
        twins = Twins()
        for tag, rows in look:
            if not rows:
                continue
            alone.setdefault(tag, []).extend(rows)
            if one_by_one:
                for row in rows:
                    data.scalar(tag).append(*row)
            else:
                data.scalar(tag).extend(*zip(*rows, strict=True), twins)
        data.settle()
        for tag, rows in alone.items():
            steps, wall_times, values = data.scalars[tag].raw()
            expected = Column()
            expected.extend(*zip(*rows, strict=True))
            told = [part.tobytes() for part in (steps, wall_times, values)]
            assert told == [part.tobytes() for part in expected.raw()]
            assert steps.dtype == np.int64 and wall_times.dtype == np.float64
            series, other = data.scalars[tag].series(), expected.series()
            assert series.steps.tobytes() == other.steps.tobytes()
            assert series.values.tobytes() == other.values.tobytes()
            handed_out += zip((steps, wall_times, values), told, strict=True)
        assert all(part.tobytes() == told for part, told in handed_out)
