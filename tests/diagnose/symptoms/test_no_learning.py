"""No learning: nothing that could be learned from, or nobody to learn it."""

from __future__ import annotations

import pytest

from diagnose import symptoms
from diagnose.causes import ranked
from diagnose.findings import Severity
from tests.diagnose.symptoms.curve_trainings import train, without

SPOILT = {
    "a rate of a millionth": {"lr": 1e-6},
    "dead units": {"prepare": lambda model: model[0].bias.data.fill_(-100)},
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fault", SPOILT)
def test_a_run_at_the_loss_of_a_guess_has_learned_nothing(fault, seed):
    run = train(seed, epochs=8, **SPOILT[fault])
    (finding,) = symptoms.find(run)
    assert finding.id == "no_learning" and finding.severity is Severity.CRITICAL
    assert ranked([finding], run)


@pytest.mark.parametrize("seed", range(3))
def test_without_the_number_of_classes_it_is_an_info(seed):
    findings = symptoms.find(without(train(seed, lr=1e-6, epochs=8), config=False))
    assert all(f.severity is Severity.INFO for f in findings)


@pytest.mark.parametrize("lr", [0.002, 0.05])
def test_whoever_learns_late_or_well_is_not_meant(lr):
    assert not symptoms.find(train(0, lr=lr, epochs=8), ["no_learning"])


def test_a_few_steps_are_too_short_to_tell():
    assert not symptoms.find(train(0, lr=1e-6, epochs=1), ["no_learning"])
