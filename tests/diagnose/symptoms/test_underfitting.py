"""Underfitting: a bottleneck of one unit; not a hard task, not a run cut short."""

from __future__ import annotations

import pytest

import diagnose
from diagnose import symptoms
from diagnose.findings import Severity
from tests.diagnose.symptoms.curve_trainings import train, without


@pytest.mark.slow  # five trainings
def test_a_network_of_one_unit_is_too_small():
    causes = []
    for seed in range(5):
        run = train(seed, width=1, epochs=15)
        findings = [f for f in symptoms.find(run) if f.severity is not Severity.INFO]
        assert {f.id for f in findings} <= {"underfitting", "no_learning"}
        causes += [diagnose.examine(run).causes[0].id for f in findings if f.id == "underfitting"]
    # At the loss of a guess curves alone cannot tell it from labels that say nothing.
    assert len(causes) >= 2 and "model_too_small" in causes
    assert set(causes) <= {"model_too_small", "unlearnable_labels"}


def test_without_a_scale_nothing_is_said():
    run = without(train(1, width=1, epochs=15), "accuracy/train", "accuracy/validation", config=False)
    assert not symptoms.find(run, ["underfitting"])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("settings", [{"epochs": 2, "lr": 0.01}, {"epochs": 12, "ordered": True, "lr": 0.02}, {}])
def test_what_still_falls_or_swings_or_fits_does_not_underfit(seed, settings):
    assert not symptoms.find(train(seed, **settings), ["underfitting"])
