"""Plateau: shelves that the curve itself proves to be none of its ends."""

from __future__ import annotations

import pytest

from diagnose import symptoms
from diagnose.causes import ranked
from diagnose.findings import Severity
from tests.diagnose.symptoms.curve_trainings import train


@pytest.mark.parametrize("seed", range(4))
def test_a_rate_that_is_all_but_off_in_mid_run_makes_a_shelf(seed):
    run = train(seed, lr=0.01, epochs=15, schedule=lambda share: 1e-3 if 0.2 < share < 0.6 else 1.0)
    (finding,) = symptoms.find(run, ["plateau"])
    assert finding.severity is Severity.WARNING and finding.evidence["kind"] == "left"
    assert abs(finding.window[0] - 123) < 25 and abs(finding.window[1] - 369) < 25


@pytest.mark.parametrize("seed", range(4))
def test_a_rate_that_goes_too_early_ends_the_fall(seed):
    run = train(seed, lr=0.01, epochs=12, momentum=0.5, schedule=lambda share: 1.0 if share < 0.12 else 1e-3)
    findings = [f for f in symptoms.find(run) if f.severity is not Severity.INFO]
    assert [f.id for f in findings] == ["plateau"] and findings[0].evidence["kind"] == "stopped_with_the_rate"
    assert abs(findings[0].window[0] - 59) < 15
    assert ranked(findings, run)[0].id == "decay_too_early"


@pytest.mark.parametrize("seed", range(4))
def test_a_converged_run_is_on_no_plateau(seed):
    assert not [f for f in symptoms.find(train(seed, epochs=40), ["plateau"]) if f.severity is not Severity.INFO]
