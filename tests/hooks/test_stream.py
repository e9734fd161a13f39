"""The stream: whatever is added lands in the log, in any order of steps and names."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diagnose
from diagnose.hooks.stream import ROWS, Channel, Stream

PAIR = Channel("pair", 2, lambda rows: {"layers/v": rows, "x2": 2 * rows[:, 0]})


def nothing(_):
    """Observe nothing."""


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 40), st.sampled_from("abc"), st.floats(-100, 100, width=32), st.floats(0.5, 8, width=16)
        ),
        max_size=60,
    ),
    st.sets(st.integers(0, 60)),
)
def test_what_a_step_gets_several_times_is_averaged_by_weight(tmp_path_factory, values, flushes):
    directory = tmp_path_factory.mktemp("s")
    stream = Stream(directory, nothing)
    sums: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for number, (step, name, value, weight) in enumerate(values):
        if number in flushes:
            stream.flush(before=0)  # nothing is complete yet: a flush may come at any time
        stream.add(step, name, torch.tensor(value) if number % 2 else value, weight)
        sums.setdefault((name, step), []).append((value, weight))
    stream.close()
    scalars = diagnose.load(directory).scalars
    for (name, step), parts in sums.items():
        expected = sum(v * w for v, w in parts) / sum(w for _, w in parts)
        series = scalars[name]
        assert math.isclose(series.values[series.steps == step][0], expected, rel_tol=1e-5, abs_tol=1e-4)


def test_more_open_steps_than_the_rings_hold_lose_nothing(tmp_path):
    stream = Stream(tmp_path, nothing)
    for step in reversed(range(1, 3 * ROWS)):
        stream.add(step, "x", float(step))
        stream.row(step, PAIR).copy_(torch.tensor([step, -step]))
    stream.close()
    run = diagnose.load(tmp_path)
    assert run.scalars["x"].values.tolist() == list(range(1, 3 * ROWS))
    assert run.scalars["x2"].values.tolist() == list(range(2, 6 * ROWS, 2))
    assert np.array_equal(run.layer_signals["layers/v"].values[:, 1], -np.arange(1, 3 * ROWS))


def test_a_tensor_that_is_changed_in_place_afterwards_is_logged_as_it_was(tmp_path):
    stream = Stream(tmp_path, nothing)
    loss = torch.tensor(3.0)
    stream.add(1, "x", loss)
    loss /= 3
    stream.close()
    assert diagnose.load(tmp_path).scalars["x"].values.tolist() == [3.0]


def test_a_block_that_cannot_be_decoded_is_counted_and_the_next_one_is_written(tmp_path, caplog):
    broken = Channel("broken", 1, lambda rows: 1 / 0)
    stream = Stream(tmp_path, nothing)
    stream.row(1, broken)
    stream.flush()
    stream.add(2, "x", 1.0)
    stream.close()
    run = diagnose.load(tmp_path)
    assert run.scalars["x"].steps.tolist() == [2]
    assert "1 step(s) could not be written" in run.notes[0]
    assert "ZeroDivisionError" in caplog.text


def test_a_full_queue_drops_and_counts_rather_than_waits(tmp_path, caplog):
    import threading

    gate = threading.Event()
    stream = Stream(tmp_path, lambda _: gate.wait(20))
    for step in range(1, 40 * ROWS):
        stream.add(step, "x", 1.0)
        stream.step_done(step + 1)
    gate.set()
    stream.close()
    run = diagnose.load(tmp_path)
    assert run.scalars["diagnose/dropped_rows"].values[0] == 40 * ROWS - 1 - len(run.scalars["x"])
    assert caplog.text.count("slower than the training") == 1
