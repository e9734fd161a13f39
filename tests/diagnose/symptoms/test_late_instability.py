"""Late instability: what goes wrong after a long healthy stretch, short of a divergence."""

from __future__ import annotations

import pytest

from diagnose import symptoms
from diagnose.causes import ranked
from diagnose.findings import Severity
from tests.diagnose.symptoms.curve_trainings import guessed_labels, restarts, train


@pytest.mark.parametrize("seed", range(4))
def test_labels_that_go_bad_late_raise_the_loss_for_good(seed):
    run = train(seed, lr=0.02, epochs=15, disturb=lambda share, step, b: guessed_labels(b, 0.12) if share > 0.7 else b)
    (finding,) = [f for f in symptoms.find(run) if f.severity is not Severity.INFO]
    assert finding.id == "late_instability"
    assert abs(finding.window[0] - 430) < 20 and finding.window[1] == 615


@pytest.mark.parametrize("seed", range(4))
def test_a_rate_that_grows_late_beyond_what_it_was_is_told(seed):
    run = train(seed, lr=0.02, epochs=15, schedule=lambda share: 1 + 60 * max(share - 0.6, 0))
    findings = [f for f in symptoms.find(run) if f.severity is not Severity.INFO]
    assert {f.id for f in findings} & {"late_instability", "divergence"}
    assert ranked(findings, run)[0].id in {"lr_too_high", "missing_decay"}


@pytest.mark.parametrize("seed", range(4))
def test_noise_that_grows_as_the_network_begins_to_learn_is_healthy(seed):
    assert not symptoms.find(train(seed, lr=0.005, epochs=7), ["late_instability"])


@pytest.mark.parametrize("seed", range(3))
def test_a_restart_is_none(seed):
    assert not symptoms.find(train(seed, schedule=restarts, lr=0.1, epochs=24), ["late_instability"])
