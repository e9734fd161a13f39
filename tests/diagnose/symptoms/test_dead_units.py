"""Dead units: layers that are all zero, units that died at once; sparse layers are sound."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import diagnose
from diagnose import symptoms
from diagnose.findings import Severity
from diagnose.run import Layer, LayerSeries, Run, Setup
from tests.diagnose.symptoms.trainings import mlp, train


def only(run):
    return list(symptoms.find(run, only=["dead_units"]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_layer_whose_biases_switch_it_off_is_dead_from_the_first_step(tmp_path, seed):
    torch.manual_seed(seed)
    model = mlp()
    nn.init.constant_(model[2].bias, -20.0)
    (finding,) = only(train(tmp_path, model, torch.optim.SGD(model.parameters(), 0.1)))
    assert finding.severity is Severity.CRITICAL and "2" in finding.layers
    assert finding.evidence["from_the_first_step"] == "yes" and finding.window[0] == 1
    assert diagnose.examine(tmp_path).causes[0].id == "bad_initialization"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_wild_step_kills_units_and_the_window_begins_there(tmp_path, seed):
    torch.manual_seed(seed)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def wild(step):
        optimizer.param_groups[0]["lr"] = 100.0 if step == 100 else 0.1

    (finding,) = only(train(tmp_path, model, optimizer, each_step=wild))
    assert 101 <= finding.window[0] <= 116
    assert finding.evidence["from_the_first_step"] == "no"
    if finding.severity is not Severity.INFO:  # some recover from it
        assert "lr_too_high" in [cause.id for cause in diagnose.examine(tmp_path).causes[:2]]


def test_sound_runs_have_none(assert_silent):
    assert_silent("dead_units")


def shares(values, activation="ReLU"):
    values = np.asarray(values, np.float32).reshape(len(values), -1)
    layers = tuple(Layer(str(i), "Linear", 10, activation=activation) for i in range(values.shape[1]))
    return Run(
        "r", Setup(layers=layers),
        layer_signals={"layers/zero_fraction": LayerSeries(np.arange(1, len(values) + 1), values)},
    )  # fmt: skip


def test_sparse_units_that_became_so_gradually_are_alive(rng):
    assert not only(shares(np.linspace(0.5, 0.97, 100) + 0.005 * rng.normal(size=100)))


def test_units_that_came_back_are_not_dead():
    assert not only(shares([1.0] * 20 + [0.5] * 80))


def test_zeros_after_an_activation_that_has_none_are_something_else():
    assert not only(shares([1.0] * 50, activation="GELU")) and only(shares([1.0] * 50))


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_fewer_than_five_samples_say_nothing(rows):
    assert not only(shares([1.0] * rows))


def test_a_jump_is_half_the_units_where_the_others_stay_as_they_were(rng):
    (finding,) = only(shares(np.repeat([0.4, 0.76], 50) + 0.01 * rng.normal(size=100)))
    assert finding.evidence["share_of_units_died"] == pytest.approx(0.6, abs=0.05)
    assert 49 <= finding.window[0] <= 52
    assert not only(shares(np.repeat([0.4, 0.6], 50) + 0.01 * rng.normal(size=100)))


def test_shares_that_scatter_widely_do_not_jump():
    for seed in range(20):
        assert not only(shares(np.random.default_rng(seed).random(400)))
