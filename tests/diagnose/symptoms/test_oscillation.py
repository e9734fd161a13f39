"""Oscillation: data in a fixed order, and swings; not warm restarts, not noise."""

from __future__ import annotations

import numpy as np
import pytest

from diagnose import symptoms
from diagnose.causes import ranked
from diagnose.findings import Severity
from tests.diagnose.symptoms.curve_trainings import restarts, train


@pytest.mark.parametrize("seed", range(4))
def test_data_in_the_order_of_their_labels_make_the_loss_swing_with_the_epoch(seed):
    run = train(seed, ordered=True, epochs=12, lr=0.005, momentum=0.0)
    findings = symptoms.find(run)
    swings = next(f for f in findings if f.id == "oscillation")
    assert swings.severity is Severity.WARNING and swings.evidence["period_is_an_epoch"] == "yes"
    assert ranked(findings, run)[0].id == "unshuffled_data"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("lr", [0.1, 0.2])
def test_warm_restarts_are_no_oscillation(seed, lr):
    assert not symptoms.find(train(seed, schedule=restarts, lr=lr, epochs=24), ["oscillation"])


@pytest.mark.parametrize("seed", range(4))
def test_the_same_data_shuffled_do_not_swing(seed):
    assert not symptoms.find(train(seed, epochs=12, lr=0.005, momentum=0.0), ["oscillation"])


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_numbers_of_any_size_are_judged_alike(scale, run_with, rng):
    swings = 2 + np.sin(np.arange(600) / 10) + 0.05 * rng.normal(size=600)
    found = [f.id for f in symptoms.find(run_with(**{"loss/train": scale * swings}), ["oscillation"])]
    assert found == ["oscillation"]
