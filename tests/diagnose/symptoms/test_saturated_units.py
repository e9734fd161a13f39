"""Saturated units: hidden layers at their flat ends; sure outputs and sound tanh networks are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import diagnose
from diagnose import symptoms
from diagnose.findings import Severity
from diagnose.run import LayerSeries, Run
from tests.diagnose.symptoms.trainings import mlp, train


def only(run):
    return list(symptoms.find(run, only=["saturated_units"]))


@pytest.mark.parametrize("activation", [nn.Tanh, nn.Sigmoid])
@pytest.mark.parametrize("seed", [0, 1])
def test_weights_that_are_far_too_large_saturate_from_the_first_step(tmp_path, seed, activation):
    torch.manual_seed(seed)
    model = mlp(depth=5, activation=activation)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=5.0)
    (finding,) = only(train(tmp_path, model, torch.optim.SGD(model.parameters(), 1e-3)))
    assert finding.window[0] == 1 and finding.evidence["from_the_first_step"] == "yes"
    assert finding.evidence["saturated_fraction"] > 0.8 and len(finding.layers) == 5


@pytest.mark.parametrize("seed", [0, 1])
def test_a_rate_far_too_high_saturates_later_and_is_named(tmp_path, seed):
    torch.manual_seed(seed)
    model = mlp(activation=nn.Tanh)
    run = train(tmp_path, model, torch.optim.SGD(model.parameters(), 10.0, momentum=0.9))
    (finding,) = only(run)
    assert finding.severity is not Severity.INFO
    assert diagnose.examine(run).causes[0].id == "lr_too_high"


def test_sound_runs_have_none(assert_silent):
    assert_silent("saturated_units")


def shares(*columns):
    values = np.stack([np.broadcast_to(column, 40) for column in columns], axis=1).astype(np.float32)
    return Run("r", layer_signals={"layers/saturated_fraction": LayerSeries(np.arange(1, 41), values)})


def test_an_output_that_is_sure_of_itself_is_no_saturation():
    assert not only(shares(0.1, np.nan, 0.99)) and only(shares(0.99, np.nan, 0.1))


def test_a_saturation_that_passed_is_none():
    assert not only(shares(np.repeat([0.9, 0.1], (10, 30)), 0.0))
