"""What a scan remembers: only what still follows from the files, and never at the price of the scan."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest

from diagnose import scanning
from diagnose.logs.verdicts import NAME, Verdicts, state_of
from diagnose.scanning import scan

HEAD = "step,my_thing\n"


def falling(first, last):
    return "".join(f"{step},{1 / (step + 1)}\n" for step in range(first, last))


@pytest.fixture
def run(tmp_path):
    """A run whose loss has a name that nobody knows."""
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(HEAD.replace("my_thing", "loss") + falling(0, 300))
    return folder


@pytest.fixture
def cache(tmp_path):
    """A folder for the cache."""
    return tmp_path / "cache"


def told(run, known):
    (verdict,) = scan([str(run)], known)
    return verdict


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("diagnose.toml", "[names]\nloss = 'loss/train'\n"),
        ("../diagnose.toml", "[names]\nloss = 'loss/train'\n"),
        ("../../diagnose.toml", "[names]\nloss = 'loss/train'\n"),
        ("hparams.yaml", "lr: 0.5\n"),
        (".hydra/config.yaml", "lr: 0.5\n"),
        ("metrics.csv", HEAD + falling(0, 10)),
    ],
)
def test_whatever_a_verdict_follows_from_makes_it_new(run, place, content):
    before = state_of(str(run))
    assert state_of(str(run)) == before
    (run / place).parent.mkdir(exist_ok=True)
    (run / place).write_text(content)
    assert state_of(str(run)) != before


def test_names_that_are_told_later_count(run, cache):
    (run / "metrics.csv").write_text(HEAD + falling(0, 150) + "".join(f"{step},nan\n" for step in range(150, 300)))
    known = Verdicts(cache)
    assert told(run, known).health == "unreadable"
    (run / "diagnose.toml").write_text("[names]\nmy_thing = 'loss/validation'\n")
    first = told(run, known)
    (run / "diagnose.toml").write_text("[names]\nmy_thing = 'loss/train'\n")
    assert first.health != "unreadable" and told(run, known).health == told(run, None).health


def test_what_grows_while_it_is_examined_is_examined_again(run, cache, monkeypatch):
    known, examine = Verdicts(cache), scanning.examine

    def slowly(path):
        diagnosis = examine(path)
        with (run / "metrics.csv").open("a") as file:
            file.write(falling(300, 400))
        return diagnosis

    monkeypatch.setattr(scanning, "examine", slowly)
    assert told(run, known).steps == 299
    monkeypatch.setattr(scanning, "examine", examine)
    assert told(run, known).steps == 399


def test_damaged_pages_are_begun_anew(run, cache):
    known = Verdicts(cache)
    for number in range(300):
        known.remember(str(number), {"run": "x" * 400})
    known.close()
    whole = (cache / NAME).read_bytes()
    (cache / NAME).write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    known = Verdicts(cache)
    assert told(run, known) == told(run, None)
    assert known.remembered(state_of(str(run))) is not None
    known.close()


@pytest.mark.parametrize(
    "found", ["no json", "[1]", '{"run": "x", "health": "healthy", "more": 1}', '{"run": "x"}', None]
)
def test_what_an_other_version_remembered_is_no_verdict(run, cache, found):
    known = Verdicts(cache)
    known._table.execute("INSERT INTO verdicts VALUES (?, ?)", (state_of(str(run)), found))
    known._table.commit()
    assert told(run, known) == told(run, None)


def test_without_a_place_nothing_is_remembered(run, cache, tmp_path, monkeypatch):
    (cache / NAME).mkdir(parents=True)
    (tmp_path / "file").write_text("")
    for place in (cache, tmp_path / "file", "/proc/self"):
        known = Verdicts(type(cache)(place))
        assert told(run, known).health == told(run, known).health == "healthy"
        known.close()
    assert (cache / NAME).is_dir()
    for name in ("HOME", "XDG_CACHE_HOME", "DIAGNOSE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert told(run, Verdicts()).health == "healthy"


def test_a_cache_that_another_keeps_locked_is_done_without(run, cache, monkeypatch):
    monkeypatch.setattr("diagnose.logs.verdicts.PATIENCE", 0.1)
    known = Verdicts(cache)
    other = sqlite3.connect(cache / NAME, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert told(run, known).health == told(run, Verdicts(cache)).health == "healthy"
    other.execute("ROLLBACK")
    other.close()


@pytest.mark.slow  # two processes more
def test_two_scans_at_once_remember_the_same(run, cache, tmp_path):
    for number in range(20):
        (tmp_path / "runs" / str(number)).mkdir()
        (tmp_path / "runs" / str(number) / "metrics.csv").write_bytes((run / "metrics.csv").read_bytes())
    command = [sys.executable, "-m", "diagnose.cli", "scan", str(tmp_path / "runs"), "--jobs", "1"]
    environment = {**os.environ, "DIAGNOSE_CACHE": str(cache)}
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate() for process in both]
    assert all("21 runs: 21 healthy." in out and "Traceback" not in error for out, error in answers)
    known = Verdicts(cache)
    assert all(known.remembered(state_of(str(folder))) for folder in (tmp_path / "runs").iterdir())
