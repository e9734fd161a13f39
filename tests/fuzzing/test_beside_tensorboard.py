"""What TensorBoard's own reader finds in a sound event file, ours finds too: tags, steps, times and values."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

import diagnose
from diagnose.logs import reading
from diagnose.logs.records import framed
from tests.fuzzing.events import contents
from tests.fuzzing.mutating import SEEDS

FIXTURES = Path(__file__).parents[2] / "fixtures"
RECORDED = [FIXTURES / "runs" / name for name in ("plain-classification-0", "loss_scaling-autoencoder-0")]
FILES = [*sorted(SEEDS.glob("events*")), *(next(run.iterdir()) for run in RECORDED)]
SHUFFLES = 4


def theirs(path):
    """By tag, the last value of each step, by increasing step: what a curve is drawn from."""
    read = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0}, purge_orphaned_data=False).Reload()
    told = {tag: [(e.step, e.wall_time, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    for tag in read.Tags()["tensors"]:
        if read.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":
            told[tag] = [(e.step, e.wall_time, float(make_ndarray(e.tensor_proto))) for e in read.Tensors(tag)]
    return {tag: sorted({row[0]: row for row in rows}.values()) for tag, rows in told.items()}


def ours(path):
    run = diagnose.load(path)
    tags = {signal: run.names.get(signal, signal) for signal in run.scalars}
    return {tags[signal]: rows(series) for signal, series in run.scalars.items()}


def rows(series):
    return list(zip(series.steps.tolist(), series.wall_times.tolist(), series.values.tolist(), strict=True))


def same(one, other):
    assert one.keys() == other.keys()
    for tag in one:
        assert np.array_equal(np.array(one[tag]), np.array(other[tag]), equal_nan=True), tag
    return True


@pytest.fixture(params=["compiled", "one by one"])
def way(request, monkeypatch):
    monkeypatch.setattr(reading, "FAST_FROM", 2**60 if request.param == "one by one" else 0)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_sound_file_is_read_alike(path, way):
    assert same(ours(path), theirs(path))
    assert ours(path)


@pytest.mark.parametrize("path", sorted(SEEDS.glob("events*")), ids=lambda path: path.name)
def test_its_records_in_another_order_are_read_alike(tmp_path, path, way):
    """Steps that go back and values that come again; the first ones stay where tags are told what they are."""
    chance = random.Random(path.name)
    for number in range(SHUFFLES):
        parts = contents(path.read_bytes())
        first, rest = parts[: len(parts) // 4], parts[len(parts) // 4 :]
        mixed = [*first, *chance.sample(rest, len(rest) * 3 // 4), *chance.choices(rest, k=20)]
        other = tmp_path / f"{number}.tfevents"
        other.write_bytes(b"".join(map(framed, mixed)))
        assert same(ours(other), theirs(other))
