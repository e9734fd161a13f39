"""Curves for near misses that no small training gives on demand."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

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


@pytest.hookimpl(tryfirst=True)  # before the slow ones are left out
def pytest_collection_modifyitems(items):
    """What holds for a training from the first seed is shown for those from others in `make test-all`."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and getattr(item, "callspec", None) and item.callspec.indices.get("seed"):
            item.add_marker(pytest.mark.slow)


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


@pytest.fixture(params=trainings.SEEDS)
def seed(request):
    return request.param


@pytest.fixture
def assert_silent(healthy_run, seed):
    """assert_silent(symptom): of this seed, no sound run of any kind has a finding of it above `info`."""

    def check(symptom):
        ill = {
            kind: finding.summary
            for kind in trainings.HEALTHY
            for finding in symptoms.find(healthy_run(kind, seed), only=[symptom])
            if finding.severity is not Severity.INFO
        }
        assert ill == {}

    return check
