"""Validation stall: wrong labels that are learned by heart, held back by dropout."""

from __future__ import annotations

import pytest

from diagnose import symptoms
from diagnose.causes import ranked
from diagnose.findings import Severity
from tests.diagnose.symptoms.curve_trainings import train, wrong_labels


def stalling(seed, **settings):
    return train(
        seed, train_size=1000, epochs=40, width=128, dropout=0.3,
        disturb=lambda share, step, batch: wrong_labels(0.3)(batch), **settings,
    )  # fmt: skip


@pytest.mark.slow  # four long trainings
def test_training_goes_on_where_validation_stands():
    found = [f for seed in range(4) for f in symptoms.find(stalling(seed), ["validation_stall"])]
    assert len(found) >= 3
    assert all(f.severity is Severity.WARNING and f.evidence["rate_is_high"] == "yes" for f in found)


def test_the_remedy_is_a_lower_rate_at_the_end():
    run = stalling(0)
    findings = symptoms.find(run)
    assert ranked(findings, run)[0].id == "missing_decay"


@pytest.mark.parametrize("seed", range(4))
def test_two_curves_that_level_together_have_converged(seed):
    run = train(seed, width=2, epochs=30, lr=0.02)
    assert not [f for f in symptoms.find(run, ["validation_stall"]) if f.severity is not Severity.INFO]
