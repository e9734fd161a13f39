"""The recorded runs: index and files agree, every log loads, and the breadth that the classifier is measured on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import diagnose
from diagnose.causes import known_causes

FIXTURES = Path(__file__).parent.parent / "fixtures"
INDEX = [json.loads(line) for line in (FIXTURES / "index.jsonl").read_text().splitlines()]
MOST_BYTES = 6_000_000  # as git keeps them, compressed
ILL = [entry for entry in INDEX if not entry["healthy"]]


def test_the_index_and_the_files_agree():
    assert [entry["run"] for entry in INDEX] == sorted(path.name for path in (FIXTURES / "runs").iterdir())
    assert all(len(list((FIXTURES / "runs" / entry["run"]).iterdir())) == 1 for entry in INDEX)


def test_the_breadth_is_there():
    assert len(INDEX) >= 150
    assert len({entry["kind"] for entry in ILL}) >= 25
    assert len(INDEX) - len(ILL) >= len(INDEX) / 3
    assert len({entry["task"] for entry in INDEX}) >= 6
    assert all(len({e["seed"] for e in INDEX if e["kind"] == kind}) >= 2 for kind in {e["kind"] for e in INDEX})


def test_every_ill_run_names_symptoms_with_their_proof():
    assert all(entry["symptoms"] and set(entry["shown_by"]) == set(entry["symptoms"]) for entry in ILL)
    assert all(1 <= entry["acts_from_step"] <= entry["steps"] for entry in ILL)
    assert not any(set(entry["symptoms"]) & set(entry["also"]) for entry in ILL)


def test_no_healthy_run_expects_anything():
    assert not any(entry["symptoms"] or entry["cause"] for entry in INDEX if entry["healthy"])


@pytest.mark.parametrize("entry", INDEX, ids=lambda entry: entry["run"])
def test_every_run_loads_whole(entry):
    run = diagnose.load(FIXTURES / "runs" / entry["run"])
    assert run.closed and not run.notes
    assert len(run.scalars["loss/train"]) == run.steps == entry["steps"]
    assert run.scalars["loss/validation"].steps[-1] <= entry["steps"]
    assert run.setup.config["seed"] == entry["seed"]
    known = set(run.layer_names)
    assert all(set(layers) <= known for layers in entry["layers"].values())


def test_the_loss_of_a_nan_run_is_no_number_from_the_step_named():
    for entry in ILL:
        if "nan_loss" in entry["symptoms"]:
            loss = diagnose.load(FIXTURES / "runs" / entry["run"]).scalars["loss/train"]
            at = int(entry["shown_by"]["nan_loss"]["first_nonfinite_step"])
            assert not np.isfinite(loss.values[at - 1])
            assert np.isfinite(loss.values[: at - 1]).all()


def test_the_recordings_stay_small():
    import zlib

    logs = (FIXTURES / "runs").rglob("events*")
    assert sum(len(zlib.compress(log.read_bytes())) for log in logs) < MOST_BYTES


def test_causes_carry_the_names_of_the_causes_file_or_of_causes_to_come():
    named = {entry["cause"] for entry in ILL} - {None}
    assert len(named) >= 15
    assert set(known_causes()) & named


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_recording_again_gives_the_same_runs_and_expectations(tmp_path):
    kinds = ["bad_sample", "too_few_epochs", "high_early_loss"]
    command = [sys.executable, FIXTURES / "record.py", "--only", *kinds, "--jobs", "2", "--into", tmp_path]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    again = [json.loads(line) for line in (tmp_path / "index.jsonl").read_text().splitlines()]
    recorded = [entry for entry in INDEX if entry["kind"] in kinds]
    told = ("run", "symptoms", "cause", "acts_from_step", "healthy")
    assert [[e[key] for key in told] for e in again] == [[e[key] for key in told] for e in recorded]
