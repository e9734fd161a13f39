"""Frozen parameters: layers that the optimizer misses or that are cut off; frozen on purpose is no fault."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import diagnose
from diagnose import symptoms
from diagnose.findings import Severity
from diagnose.run import Layer, LayerSeries, Run, Setup
from tests.diagnose.symptoms.trainings import convnet, mlp, train


def only(run):
    return list(symptoms.find(run, only=["frozen_parameters"]))


class Sliced(nn.Module):
    """Detaches what its first part gives, or never uses a part at all."""

    def __init__(self, *, detached, unused):
        super().__init__()
        self.first, self.rest = mlp(2), mlp(2)
        self.bridge = nn.Linear(10, 64)
        self.spare = nn.Linear(5, 5) if unused else None
        self.detached = detached

    def forward(self, x):
        signal = self.first(x)
        return self.rest(self.bridge(signal.detach() if self.detached else signal))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_layers_that_the_optimizer_misses_are_named(tmp_path, seed, optimizer):
    torch.manual_seed(seed)
    model = mlp()
    run = train(tmp_path, model, optimizer([p for part in (model[0], model[-1]) for p in part.parameters()], 1e-3))
    (finding,) = only(run)
    assert finding.severity is Severity.WARNING and finding.layers == ("2", "4")
    assert finding.evidence["gradient_arrives"] == "yes"
    diagnosis = diagnose.examine(run)
    assert diagnosis.causes[0].id == "optimizer_misses_parameters"
    assert diagnosis.prescription.changes[0].after == "add 2, 4"


def test_layers_that_are_detached_are_told_apart_from_missed_ones(tmp_path):
    torch.manual_seed(0)
    model = Sliced(detached=True, unused=False)
    run = train(tmp_path, model, torch.optim.SGD(model.parameters(), 0.1))
    (finding,) = only(run)
    assert finding.evidence["gradient_arrives"] == "no" and finding.severity is Severity.WARNING
    assert all(name.startswith("first") for name in finding.layers)
    assert diagnose.examine(run).prescription.changes[0].remedy == "unfreeze"


def test_a_spare_layer_that_never_runs_is_only_mentioned(tmp_path):
    torch.manual_seed(0)
    model = Sliced(detached=False, unused=True)
    (finding,) = only(train(tmp_path, model, torch.optim.SGD(model.parameters(), 0.1)))
    assert finding.severity is Severity.INFO and finding.layers == ("spare",)


def test_an_optimizer_of_another_models_parameters_moves_nothing(tmp_path):
    torch.manual_seed(0)
    model = convnet()
    head = model[-1]
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 0.1})
    run = train(tmp_path, model, optimizer, steps=60)
    assert head.weight.grad is not None
    assert all(finding.severity is Severity.INFO for finding in only(run))  # a rate of 0 was set on purpose


def test_steps_that_are_rounded_away_point_at_the_precision(tmp_path):
    torch.manual_seed(0)
    model = mlp().bfloat16()
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.constant_(layer.bias, 1.0)
    run = train(
        tmp_path, model, torch.optim.SGD(model.parameters(), 1e-6), change=lambda x: x.bfloat16(), steps=100
    )  # fmt: skip
    found = only(run)
    assert found and found[0].evidence["gradient_arrives"] == "yes"
    assert "precision" in [cause.id for cause in diagnose.examine(run).causes]


def test_sound_runs_have_none(assert_silent):
    assert_silent("frozen_parameters")


def of(ratio, norm=None, gradient=None, trainable=(True, True)):
    def signal(values):
        return LayerSeries(np.arange(1, 21), np.asarray(np.broadcast_to(values, (20, 2)), np.float32))

    given = {"layers/update_ratio": ratio, "layers/param_norm": norm, "layers/grad_norm": gradient}
    layers = tuple(Layer(name, "Linear", 9, one) for name, one in zip("ab", trainable, strict=True))
    return Run("r", Setup(layers=layers), layer_signals={k: signal(v) for k, v in given.items() if v is not None})


def test_without_gradient_norms_a_still_layer_is_found_and_its_kind_left_open():
    (finding,) = only(of([0.0, 1e-3]))
    assert finding.layers == ("a",) and finding.evidence["gradient_arrives"] == "unknown"


def test_norms_alone_tell_too():
    norms = np.stack([np.ones(20), np.linspace(1, 2, 20)], axis=1)
    assert only(of(None, norms))[0].layers == ("a",)


def test_layers_frozen_on_purpose_or_moved_by_another_hand_are_none():
    assert not only(of([0.0, 1e-3], trainable=(False, True)))
    averaged = np.stack([np.linspace(1, 1.1, 20), np.linspace(1, 2, 20)], axis=1)
    assert not only(of([0.0, 1e-3], averaged))


def test_a_layer_that_was_unfrozen_later_is_none():
    ratio = np.full((20, 2), 1e-3)
    ratio[:15, 0] = 0
    assert not only(of(ratio))
