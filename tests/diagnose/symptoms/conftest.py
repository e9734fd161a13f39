"""Curves for near misses that no small training gives on demand."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import pytest

import diagnose
from diagnose import symptoms
from diagnose.findings import Severity
from diagnose.run import Run, Series
from tests.diagnose.symptoms import trainings


def series(values) -> Series:
    values = np.asarray(values, float)
    return Series(np.arange(1, len(values) + 1), values, np.zeros(len(values)))


@pytest.fixture
def run_with():
    """run_with(**{"loss/train": values, …}) -> Run"""
    return lambda **signals: Run("a run", scalars={k: series(v) for k, v in signals.items()})


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def healthy_run(made_once):
    """healthy_run(kind, seed) -> one sound real training, trained once for all tests."""

    def trained(kind, seed):
        return diagnose.load(made_once(f"healthy {kind} {seed}", partial(trainings.healthy, kind, seed)))

    return cache(trained)


@pytest.fixture
def assert_silent(healthy_run):
    """assert_silent(symptom): no sound run of any kind has a finding of it above `info`."""

    def check(symptom):
        ill = {
            (kind, seed): finding.summary
            for kind in trainings.HEALTHY
            for seed in trainings.SEEDS
            for finding in symptoms.find(healthy_run(kind, seed), only=[symptom])
            if finding.severity is not Severity.INFO
        }
        assert ill == {}

    return check
