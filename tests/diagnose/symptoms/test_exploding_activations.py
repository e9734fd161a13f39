"""Exploding activations: with depth from a wrong initialisation, over time from a rate that is too high."""

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
    return list(symptoms.find(run, only=["exploding_activations"]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_weights_that_magnify_at_each_layer_explode_with_depth(tmp_path, seed):
    torch.manual_seed(seed)
    model = mlp(depth=8)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.7)
    run = train(tmp_path, model, torch.optim.SGD(model.parameters(), 1e-9))
    (finding,) = only(run)
    assert finding.severity is Severity.CRITICAL and finding.evidence["grows_with"] == "depth"
    assert finding.evidence["from_the_first_step"] == "yes"
    assert diagnose.examine(run).causes[0].id in {"bad_initialization", "missing_normalization"}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_rate_far_too_high_explodes_over_time(tmp_path, seed):
    torch.manual_seed(seed)
    model = mlp(activation=nn.LeakyReLU)
    run = train(tmp_path, model, torch.optim.Adam(model.parameters(), 2.0))
    (finding,) = only(run)
    assert finding.evidence["grows_with"] == "time" and finding.severity is Severity.CRITICAL
    assert diagnose.examine(run).causes[0].id == "lr_too_high"


def test_sound_runs_have_none(assert_silent):
    assert_silent("exploding_activations")


def variances(rows):
    values = np.asarray(rows, np.float32)
    return Run("r", layer_signals={"layers/activation_variance": LayerSeries(np.arange(1, len(values) + 1), values)})


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_the_unit_of_the_inputs_does_not_matter(scale):
    assert only(variances(np.tile(scale * np.geomspace(1, 1e6, 6), (20, 1))))
    assert not only(variances(np.tile(scale * np.geomspace(1, 1e3, 6), (20, 1))))


def test_a_normalisation_layer_ends_the_climb():
    assert not only(variances(np.tile([4e-4, 1, 0.01, 1, 0.02, 1, 30], (20, 1))))


def test_logits_that_grow_are_the_tasks_own_scale():
    rows = np.tile([1.0, 1, 1, 1, 0.01], (40, 1))
    rows[:, -1] = np.geomspace(0.01, 1e5, 40)
    assert not only(variances(rows))
