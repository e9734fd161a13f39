"""Mutated logs of every kind end in a run or in one sentence, soon and in little memory; `make fuzz` reads more."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diagnose.logs import loading
from tests.fuzzing.fuzz_reader import HARM, fuzzed, table
from tests.fuzzing.mutating import LOGS, SEEDS, mutated
from tests.fuzzing.reading_one import outcome

FEW = 120
MANY, MANY_S = 3_000, 300.0
until = 0.0  # when the busy one ends


def harm(outcomes):
    """But for what took more than a second: on a machine with other work that says little, and `make fuzz` tells it."""
    return [one for one in outcomes if one.verdict in HARM and one.verdict != "slow"]


def test_a_few_mutated_logs_do_no_harm(tmp_path):
    """In this process, to save its start: the memory's limit is that of `make fuzz`."""
    outcomes = [outcome(number, mutated(1, number), tmp_path) for number in range(FEW)]
    assert not harm(outcomes), table(outcomes)
    assert {one.log for one in outcomes} == set(LOGS)
    assert {one.verdict for one in outcomes} >= {"read", "refused"} and any(one.examined for one in outcomes)


@pytest.mark.slow
def test_many_mutated_logs_do_no_harm():
    outcomes = list(fuzzed(2, range(MANY), MANY_S, 2))
    assert not harm(outcomes), table(outcomes)


@pytest.mark.parametrize("log", LOGS)
def test_each_seed_is_sound(tmp_path, log):
    told = outcome(0, {log: (SEEDS / log).read_bytes()}, tmp_path)
    assert told.verdict == "read" and told.examined and told.log == log


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


def test_the_command_reads_in_children_and_prints_a_table():
    command = [sys.executable, "-m", "tests.fuzzing.fuzz_reader", "--files", "4", "--jobs", "1", "--seconds", "120"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| all | 4 |" in done.stdout
