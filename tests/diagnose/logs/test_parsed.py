"""What was read of a large file is kept: the next opening is the same, reads nothing twice, and trusts nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diagnose
from diagnose.logs import following
from diagnose.logs.storage import LocalFile
from diagnose.logs.writing import EventFile


def write(folder, steps, layers=3):
    with EventFile(folder) as file:
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
    parsed.write_bytes(draw.draw(st.sampled_from([whole[:cut], b"", b"ARROW1" + whole[cut:]])))
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
