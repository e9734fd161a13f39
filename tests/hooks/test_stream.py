"""The stream: whatever is added lands in the log, in any order of steps and names."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diagnose
from diagnose.hooks.stream import ROWS, Stream

CPU = torch.device("cpu")


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
    stream = Stream(directory, CPU, 1, nothing)
    sums: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for number, (step, name, value, weight) in enumerate(values):
        if number in flushes:
            stream.flush(before=0)  # nothing is complete yet: a flush may come at any time
        stream.add(step, name, value, weight)
        sums.setdefault((name, step), []).append((value, weight))
    stream.close()
    scalars = diagnose.load(directory).scalars
    for (name, step), parts in sums.items():
        expected = sum(v * w for v, w in parts) / sum(w for _, w in parts)
        series = scalars[name]
        assert math.isclose(series.values[series.steps == step][0], expected, rel_tol=1e-5, abs_tol=1e-4)


def test_more_open_steps_than_the_rings_hold_lose_nothing(tmp_path):
    stream = Stream(tmp_path, CPU, 2, nothing)
    for step in reversed(range(1, 3 * ROWS)):
        stream.add(step, "x", float(step))
        stream.vector(step, "layers/v").copy_(torch.tensor([step, -step]))
    stream.close()
    run = diagnose.load(tmp_path)
    assert run.scalars["x"].values.tolist() == list(range(1, 3 * ROWS))
    assert np.array_equal(run.layer_signals["layers/v"].values[:, 1], -np.arange(1, 3 * ROWS))


def test_a_vector_that_was_not_filled_is_unknown_and_not_an_older_steps(tmp_path):
    stream = Stream(tmp_path, CPU, 2, nothing)
    for step in range(1, 2 * ROWS):
        vector = stream.vector(step, "layers/v")
        if step % 2:
            vector[0] = step
        stream.step_done(step + 1)
    stream.close()
    values = diagnose.load(tmp_path).layer_signals["layers/v"].values
    assert np.isnan(values[:, 1]).all() and np.isnan(values[1::2, 0]).all()
    assert values[::2, 0].tolist() == list(range(1, 2 * ROWS, 2))


def test_a_full_queue_drops_and_counts_rather_than_waits(tmp_path, caplog):
    import threading

    gate = threading.Event()
    stream = Stream(tmp_path, CPU, 1, lambda _: gate.wait(20))
    for step in range(1, 40 * ROWS):
        stream.add(step, "x", 1.0)
        stream.step_done(step + 1)
    gate.set()
    stream.close()
    run = diagnose.load(tmp_path)
    assert run.scalars["diagnose/dropped_rows"].values[0] == 40 * ROWS - 1 - len(run.scalars["x"])
    assert caplog.text.count("slower than the training") == 1
