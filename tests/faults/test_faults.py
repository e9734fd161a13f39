"""Faults break into a live training: it goes its way, and its log reads up to the last flush."""

from __future__ import annotations

import pytest

from tests.faults.campaign import campaign, obstacle
from tests.faults.faults import FAULTS

QUICK = [name for name, fault in FAULTS.items() if fault.quick]
SEED = 9  # a kill behind some hundred steps
SLOW = [name for name, fault in FAULTS.items() if not fault.quick]


@pytest.fixture(scope="module")
def attempts():
    with campaign() as one:
        yield one


def check(attempts, name, seed):
    fault = FAULTS[name]
    if why := obstacle(fault):
        pytest.skip(why)
    outcome = attempts.attempt(fault, seed)
    assert outcome.wrong == []
    assert outcome.lost == 0


@pytest.mark.parametrize("name", QUICK)
def test_training_and_its_log_survive(attempts, name):
    check(attempts, name, SEED)


@pytest.mark.slow  # `make faults` tries each of them many times more
@pytest.mark.parametrize("name", SLOW)
def test_training_and_its_log_survive_the_dearer_faults_too(attempts, name):
    check(attempts, name, SEED)
