"""Healthy trainings with something unusual on their curves: nothing above `info`."""

from __future__ import annotations

import numpy as np
import pytest

from diagnose import symptoms
from diagnose.findings import Severity
from tests.diagnose.symptoms.curve_trainings import HEALTHY, recorded, without


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_training_has_no_illness(name, seed):
    run = HEALTHY[name](seed)
    for known in (run, without(run, "lr/group0", config=False), without(run, "loss/validation")):
        assert not [f for f in symptoms.find(known) if f.severity is not Severity.INFO]


@pytest.mark.parametrize("seed", range(5))
def test_a_generative_loss_that_hardly_moves_is_no_illness(seed):
    rng = np.random.default_rng(seed)
    loss = 1.02 - 0.02 * np.minimum(np.arange(3000) / 300, 1) + 0.02 * rng.normal(size=3000)
    run = recorded({"loss/train": list(enumerate(loss)), "lr/group0": [(s, 1e-4) for s in range(3000)]})
    assert not [f for f in symptoms.find(run) if f.severity is not Severity.INFO]
