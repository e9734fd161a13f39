"""Tiny and huge updates: far from the usual ratio, and with a loss that says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import diagnose
from diagnose import symptoms
from diagnose.findings import Severity
from tests.diagnose.symptoms.trainings import mlp, train


def only(run, symptom):
    return list(symptoms.find(run, only=[symptom]))


RATES = {torch.optim.SGD: 1e-5, torch.optim.Adam: 1e-8}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("optimizer", RATES)
def test_a_rate_far_too_low_takes_tiny_steps(tmp_path, seed, optimizer):
    torch.manual_seed(seed)
    model = mlp()
    run = train(tmp_path, model, optimizer(model.parameters(), RATES[optimizer]))
    (finding,) = only(run, "tiny_updates")
    assert finding.severity is Severity.WARNING and finding.window == (1, 236)
    assert diagnose.examine(run).causes[0].id == "lr_too_low"


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_a_rate_far_too_high_takes_huge_steps(tmp_path, seed, activation):
    torch.manual_seed(seed)
    model = mlp(activation=activation)
    run = train(tmp_path, model, torch.optim.AdamW(model.parameters(), 1.0, weight_decay=0.3))
    (finding,) = only(run, "huge_updates")
    assert finding.severity is not Severity.INFO
    assert diagnose.examine(run).causes[0].id == "lr_too_high"


@pytest.mark.parametrize("symptom", ["tiny_updates", "huge_updates"])
def test_sound_runs_have_none(assert_silent, symptom):
    assert_silent(symptom)


def test_a_few_large_first_steps_are_not_huge(run_with, rng):
    ratio = 1e-3 * rng.lognormal(0, 0.5, 200)
    ratio[:8] = 0.5
    assert not only(run_with(update_ratio=ratio), "huge_updates")


def test_a_run_that_learns_from_huge_steps_is_only_told(run_with, rng):
    loss = 3 * np.exp(-np.arange(200) / 30) + 0.02 * rng.normal(size=200)
    signals = {"update_ratio": 0.2 * rng.lognormal(0, 0.2, 200), "loss/train": loss}
    assert only(run_with(**signals), "huge_updates")[0].severity is Severity.INFO


def test_where_the_initial_weights_are_not_known_tiny_steps_may_be_a_fine_tuning(run_with, rng):
    assert not only(run_with(update_ratio=1e-7 * rng.lognormal(0, 0.2, 200)), "tiny_updates")
