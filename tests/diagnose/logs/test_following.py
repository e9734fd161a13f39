"""A run that grows: only what is new is read, and what was read stays."""

from __future__ import annotations

import numpy as np
import pytest

import diagnose
from diagnose.logs import following
from diagnose.logs.loading import FollowedRun
from diagnose.logs.records import framed, masked_crc
from diagnose.logs.storage import LocalFile
from diagnose.logs.writing import EventFile


def write(file, steps):
    for step in steps:
        file.write_step(step, 1.7e9 + step, [("loss/train", float(step))], {"layers/grad_norm": np.full(3, step, "f4")})
    file.flush()


@pytest.fixture
def growing(tmp_path):
    with EventFile(tmp_path) as file:
        write(file, range(5))
        yield file, FollowedRun(tmp_path)


def steps_of(run):
    assert run.layer_signals["layers/grad_norm"].steps.tolist() == run.scalars["loss/train"].steps.tolist()
    return run.scalars["loss/train"].steps.tolist()


def test_a_run_without_news_is_the_same_object(growing):
    _, followed = growing
    assert followed.refresh() is followed.refresh()


def test_what_is_new_comes_behind_and_what_was_read_stays(growing):
    file, followed = growing
    before = followed.refresh()
    write(file, range(5, 300))
    assert steps_of(followed.refresh()) == list(range(300))
    assert steps_of(before) == list(range(5))


def test_only_the_new_bytes_are_read(growing, monkeypatch):
    file, followed = growing
    followed.refresh()
    size = file.path.stat().st_size
    write(file, range(5, 8))
    read = []
    original = following.EventReader.read
    monkeypatch.setattr(
        following.EventReader,
        "read",
        lambda self, content, data: (read.append(len(content)), original(self, content, data)),
    )
    assert steps_of(followed.refresh()) == list(range(8))
    assert read == [file.path.stat().st_size - size]


def test_a_half_written_record_waits(growing):
    file, _ = growing
    write(file, range(5, 6))
    content = file.path.read_bytes()
    for cut in range(len(content) - 60, len(content)):
        file.path.write_bytes(content[:cut])
        run = FollowedRun(file.path.parent)
        seen = steps_of(run.refresh())
        with file.path.open("ab") as behind:
            behind.write(content[cut:])
        assert seen == list(range(5)) and steps_of(run.refresh()) == list(range(6))
        assert not run.refresh().notes


def test_a_file_that_is_cut_off_or_replaced_is_read_again(growing, tmp_path):
    file, followed = growing
    followed.refresh()
    with EventFile(tmp_path / "other") as other:
        write(other, range(10, 13))
    other.path.replace(file.path)
    run = followed.refresh()
    assert steps_of(run) == [10, 11, 12]
    assert "read again" in run.notes[0]
    content = file.path.read_bytes()
    file.path.write_bytes(content[: len(content) // 2])
    assert len(steps_of(followed.refresh())) < 3


def test_a_file_that_cannot_be_read_any_more_leaves_what_was_read(growing, monkeypatch):
    file, followed = growing
    assert steps_of(followed.refresh()) == list(range(5))
    write(file, range(5, 7))

    def gone(_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(LocalFile, "identity", gone)
        run = followed.refresh()
        assert steps_of(run) == list(range(5))
        assert "could not be read (Permission denied)" in run.notes[0]
    run = followed.refresh()
    assert steps_of(run) == list(range(7))
    assert not run.notes


def test_a_new_file_is_found(growing, tmp_path):
    _, followed = growing
    followed.refresh()
    with EventFile(tmp_path) as later:
        write(later, range(5, 7))
    assert steps_of(followed.refresh()) == list(range(7))


def test_a_record_longer_than_what_is_read_at_a_time_is_passed_over_and_told(tmp_path, monkeypatch):
    for part, steps in (("1", range(3)), ("2", range(3, 6))):
        with EventFile(tmp_path / part) as file:
            write(file, steps)
    first, second = (next((tmp_path / part).iterdir()).read_bytes() for part in "12")
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(first + framed(b"x" * 10_000) + second)
    monkeypatch.setattr(LocalFile, "window", 1000)
    run = diagnose.load(path)
    assert steps_of(run) == list(range(6))
    assert "1 record(s) too long" in run.notes[0]


def test_a_file_that_is_cut_off_while_it_is_read_ends_where_it_ends(tmp_path, monkeypatch):
    with EventFile(tmp_path) as file:
        write(file, range(3))
    whole = LocalFile.identity
    monkeypatch.setattr(LocalFile, "identity", lambda at: whole(at)._replace(size=10**9))
    assert steps_of(diagnose.load(tmp_path)) == [0, 1, 2]


def test_a_file_that_is_written_anew_in_its_place_is_read_again(growing):
    file, followed = growing
    followed.refresh()
    content = file.path.read_bytes()
    with EventFile(file.path.parent / "other") as other:
        write(other, [0, *range(6, 10)])
    assert other.path.stat().st_size == len(content)
    file.path.write_bytes(other.path.read_bytes())
    assert steps_of(followed.refresh()) == [0, *range(6, 10)]


def test_a_length_beyond_the_files_end_is_not_made_room_for(tmp_path, monkeypatch):
    path = tmp_path / "events.out.tfevents.1"
    with EventFile(tmp_path) as file:
        write(file, range(3))
    monster = framed(b"x" * 10)
    length = (2**50).to_bytes(8, "little")
    path.write_bytes(file.path.read_bytes() + length + masked_crc(length).to_bytes(4, "little") + monster)
    file.path.unlink()
    run = diagnose.load(tmp_path)
    assert steps_of(run) == [0, 1, 2]
    assert "incomplete" in run.notes[0]
