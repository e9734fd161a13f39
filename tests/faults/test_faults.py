"""Faults break into a live training: it goes its way, and its log reads up to the last flush."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.faults.campaign import campaign
from tests.faults.faults import FAULTS

QUICK = [name for name, fault in FAULTS.items() if fault.quick]
SLOW = [name for name, fault in FAULTS.items() if not fault.quick]


@pytest.fixture(scope="module")
def attempts():
    with campaign() as one:
        yield one


def check(attempts, name, seed):
    fault = FAULTS[name]
    if (fault.disk or fault.as_root) and (os.geteuid() or not shutil.which("chattr")):
        pytest.skip("only root can do this to a disk")
    outcome = attempts.attempt(fault, seed)
    assert outcome.wrong == []
    assert outcome.lost == 0


@pytest.mark.parametrize("name", QUICK)
def test_training_and_its_log_survive(attempts, name):
    check(attempts, name, seed=1)


@pytest.mark.slow  # `make faults` tries each of them many times more
@pytest.mark.parametrize("name", SLOW)
def test_training_and_its_log_survive_the_dearer_faults_too(attempts, name):
    check(attempts, name, seed=1)
