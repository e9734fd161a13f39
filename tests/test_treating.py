"""The benchmark of treatments reckons with what it may meet: no patients of a sort, and metrics that are no numbers."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from diagnose.logs.writing import EventFile

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """A module of the benchmarks by its name; they are scripts that import one another."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    return importlib.import_module


def log(folder, values):
    with EventFile(folder) as file:
        for step, value in enumerate(values):
            file.write_step(step, step, [("accuracy/validation", value)], {})
    return folder


def test_patients_of_whom_none_has_a_wrong_setting_have_a_table(benchmark):
    ill = {"kind": "bad_sample", "ill": True, "cured": {"doctor": True}, "named": True, "trainings": 0}
    table = benchmark("treatment").in_all([ill])
    assert "| cured by doctor, of 1 ill trainings | 100.0 % |" in table
    assert "| cured by doctor, of 0 with a wrong setting | – |" in table


@pytest.mark.parametrize(
    ("values", "at_the_end", "best"),
    [
        ([0.25, 0.75, 0.5], 0.5, 0.75),
        ([0.25, float("nan"), 0.5], 0.5, 0.5),
        ([0.25, float("nan")], -float("inf"), 0.25),
        ([float("nan")], -float("inf"), -float("inf")),
    ],
)
def test_a_metric_that_was_no_number_once_hides_no_other(benchmark, tmp_path, values, at_the_end, best):
    metric = benchmark("patients").metric
    run = log(tmp_path, values)
    assert metric("classification", run) == at_the_end
    assert metric("classification", run, best=True) == best
