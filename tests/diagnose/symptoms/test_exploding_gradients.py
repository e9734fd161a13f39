"""Exploding gradients: over time and towards the input; spikes and a rise from nothing are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import diagnose
from diagnose import symptoms
from diagnose.findings import Severity
from tests.diagnose.symptoms.trainings import mlp, train


def only(run):
    return list(symptoms.find(run, only=["exploding_gradients"]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_rate_far_too_high_makes_gradients_explode_over_time(tmp_path, seed):
    torch.manual_seed(seed)
    model = mlp(activation=nn.LeakyReLU)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)

    def rising(step):
        optimizer.param_groups[0]["lr"] = 0.05 if step < 100 else 8.0

    run = train(tmp_path, model, optimizer, each_step=rising, steps=130)
    (finding,) = only(run)
    assert finding.severity is Severity.CRITICAL and finding.evidence["grows"] == "over time"
    assert 95 <= finding.window[0] <= 130
    assert {cause.id for cause in diagnose.examine(run).causes[:2]} >= {"lr_too_high"}


@pytest.mark.parametrize("seed", [0, 1])
def test_layers_that_magnify_make_gradients_explode_towards_the_input(tmp_path, seed):
    torch.manual_seed(seed)
    model = mlp(depth=8)
    for layer in model[2:]:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=1.0)
    with torch.no_grad():
        model[0].weight.mul_(1e-8)
        model[0].bias.zero_()
        for layer in model[2:]:
            if isinstance(layer, nn.Linear):
                layer.bias.zero_()
    (finding,) = only(train(tmp_path, model, torch.optim.SGD(model.parameters(), 1e-12)))
    assert finding.evidence["grows"] == "towards the input" and finding.layers == ("0",)
    assert finding.evidence["from_the_first_step"] == "yes"


def test_sound_runs_have_none(assert_silent):
    assert_silent("exploding_gradients")


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_only_the_ratio_counts(run_with, rng, scale):
    norm = scale * rng.lognormal(0, 0.5, 1000)
    assert not only(run_with(grad_norm=norm))
    norm[700:] *= 1000
    (finding,) = only(run_with(grad_norm=norm))
    assert 690 <= finding.window[0] <= 701


def test_spikes_that_come_back_are_none(run_with, rng):
    norm = rng.lognormal(0, 0.5, 1000)
    norm[::100] = 1e4
    assert not only(run_with(grad_norm=norm))


def test_a_rise_from_almost_nothing_to_the_first_level_is_none(run_with):
    norm = np.concatenate([np.geomspace(1, 1e-6, 800), np.full(200, 0.5)])
    assert not only(run_with(grad_norm=norm))


def test_ten_steps_before_the_end_in_nan_are_enough(run_with, rng):
    norm = np.concatenate([rng.lognormal(0, 0.3, 990), np.geomspace(2, 1e6, 10), [np.nan] * 5])
    (finding,) = only(run_with(grad_norm=norm))
    assert finding.window[0] >= 985
