"""Mutated logs of every kind end in a run or in one sentence, soon and in little memory; `make fuzz` reads more."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diagnose.logs import bulk, foreign, loading, reading
from tests.fuzzing import fuzz_reader
from tests.fuzzing.fuzz_reader import fuzzed, table
from tests.fuzzing.mutating import LOGS, SEEDS, mutated
from tests.fuzzing.reading_one import HARM, outcome

FEW = 120
MANY, MANY_S = 3_000, 300.0
until = 0.0  # when the busy one ends


@pytest.fixture(scope="module", autouse=True)
def ready():
    """What is compiled or loaded once is no file's cost."""
    bulk.make_ready()


def harm(outcomes):
    """But for what took more than a second: on a machine with other work that says little, and `make fuzz` tells it."""
    return [one for one in outcomes if one.verdict in HARM and one.verdict != "slow"]


def test_a_few_mutated_logs_do_no_harm(tmp_path):
    """In this process, to save its start: the memory's limit is that of `make fuzz`."""
    outcomes = [outcome(number, mutated(1, number), tmp_path) for number in range(FEW)]
    assert not harm(outcomes), table(outcomes)
    assert {one.log for one in outcomes} == set(LOGS)
    assert {one.verdict for one in outcomes} >= {"read", "refused"} and any(one.examined for one in outcomes)
    assert all(one.compared for one in outcomes if "tfevents" in one.log and one.verdict == "read")


@pytest.mark.slow
def test_many_mutated_logs_do_no_harm():
    outcomes = list(fuzzed(2, range(MANY), MANY_S, 2))
    assert not harm(outcomes), table(outcomes)
    assert any(one.compared for one in outcomes) and any(one.verdict == "refused" for one in outcomes)


@pytest.mark.parametrize("log", LOGS)
def test_each_seed_is_sound(tmp_path, log):
    told = outcome(0, {log: (SEEDS / log).read_bytes()}, tmp_path)
    assert told.verdict == "read" and told.examined and told.log == log
    assert told.compared == ("tfevents" in log)


def test_of_the_same_seed_and_number_a_log_is_always_the_same():
    assert [mutated(3, number) for number in range(20)] == [mutated(3, number) for number in range(20)]
    assert mutated(3, 0) != mutated(4, 0)


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (lambda: 1 // 0, "crash"),
        (lambda: [time.process_time() for _ in iter(lambda: time.process_time() < until, False)], "slow"),
        pytest.param(lambda: bytes(b"1" * 700_000_000) and None, "memory", marks=pytest.mark.slow),
    ],
    ids=["crash", "slow", "memory"],
)
def test_harm_is_noticed(tmp_path, monkeypatch, fault, verdict):
    global until  # noqa: PLW0603
    until = time.process_time() + 1.5
    read = loading.FollowedRun.refresh

    def broken(followed):
        fault()
        return read(followed)

    monkeypatch.setattr(loading.FollowedRun, "refresh", broken)
    told = outcome(0, {"metrics.csv": (SEEDS / "metrics.csv").read_bytes()}, tmp_path)
    assert told.verdict == verdict


def test_an_allocation_that_fails_is_no_refusal(tmp_path, monkeypatch):
    def greedy(path):
        raise MemoryError

    monkeypatch.setattr(foreign, "_of_file", greedy)
    told = outcome(0, {"metrics.csv": (SEEDS / "metrics.csv").read_bytes()}, tmp_path)
    assert told.verdict == "memory"


@pytest.mark.parametrize("part", ["_put_by_tag", "_put_vectors"])
def test_a_reader_that_leaves_something_out_is_noticed(tmp_path, monkeypatch, part):
    monkeypatch.setattr(bulk.BulkReader, part, lambda *_: None)
    told = outcome(0, {"events.out.tfevents.own": (SEEDS / "events.out.tfevents.own").read_bytes()}, tmp_path)
    assert told.verdict == "crash" and "between the two ways of reading" in told.why


@pytest.mark.parametrize("log", [log for log in LOGS if "tfevents" in log])
def test_a_log_that_is_read_in_one_way_only_is_noticed(tmp_path, monkeypatch, log):
    monkeypatch.setattr(reading.EventReader, "_bulk_reader", lambda _: None)
    with pytest.raises(RuntimeError, match="not read in the way that was asked for"):
        outcome(0, {log: (SEEDS / log).read_bytes()}, tmp_path)


def ended_at_once(*_):
    """What a child does whose reader ends the process, politely even, before its first log."""
    sys.exit()


def test_children_that_end_before_their_first_log_are_noticed(monkeypatch):
    monkeypatch.setattr(fuzz_reader, "read_in_turn", ended_at_once)
    (told,) = fuzzed(0, range(4), 60.0, 1)
    assert told.verdict == "crash" and told.number == -1 and told.why == "the process ended with 0"


@pytest.mark.slow  # processes more
def test_the_command_reads_in_children_and_prints_a_table():
    command = [sys.executable, "-m", "tests.fuzzing.fuzz_reader", "--files", "4", "--jobs", "1", "--seconds", "120"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| all | 4 |" in done.stdout
