"""Unstable curvature and sharp minima: far beyond the limit, and with a loss that says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diagnose import symptoms
from diagnose.findings import Severity
from diagnose.run import Run, Series, Setup
from tests.diagnose.symptoms.trainings import mlp, train


def only(run, symptom):
    return list(symptoms.find(run, only=[symptom]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_rate_far_beyond_what_the_curvature_allows_is_named(tmp_path, seed):
    torch.manual_seed(seed)
    model = mlp(depth=2, activation=torch.nn.LeakyReLU)
    run = train(tmp_path, model, torch.optim.SGD(model.parameters(), 20.0), steps=300, batch=256, clip=0.1)
    (finding,) = only(run, "unstable_curvature")
    assert finding.evidence["lr_sharpness"] > 4


@pytest.mark.parametrize("symptom", ["unstable_curvature", "sharp_minimum"])
def test_sound_runs_have_none(assert_silent, symptom):
    assert_silent(symptom)


def run_of(optimizer=None, **signals):
    def series(values):
        values = np.asarray(values, float)
        return Series(np.arange(1, len(values) + 1), values, np.zeros(len(values)))

    return Run("r", Setup(optimizer=optimizer or {}), {name: series(values) for name, values in signals.items()})


def test_hovering_at_the_edge_is_sound_and_far_beyond_it_is_not(rng):
    assert not only(run_of(lr_sharpness=2 + 0.5 * rng.normal(size=40)), "unstable_curvature")
    (finding,) = only(run_of(lr_sharpness=np.append(np.full(10, 1.0), np.full(5, 9.0))), "unstable_curvature")
    assert finding.window == (11, 15) and finding.severity is Severity.WARNING


def test_momentum_raises_the_limit_and_adam_has_another():
    product = np.full(10, 6.0)
    assert only(run_of({"type": "SGD", "groups": [{"momentum": 0.0}]}, lr_sharpness=product), "unstable_curvature")
    assert not only(
        run_of({"type": "SGD", "groups": [{"momentum": 0.9}]}, lr_sharpness=product), "unstable_curvature"
    )  # fmt: skip
    assert not only(run_of({"type": "Adam", "groups": [{}]}, lr_sharpness=1e3 * product), "unstable_curvature")


def test_the_eigenvalue_and_the_rate_tell_the_same_as_their_product():
    signals = {"sharpness": np.full(10, 60.0), "lr/group0": np.full(10, 0.1)}
    assert only(run_of(**signals), "unstable_curvature")[0].evidence["lr_sharpness"] == pytest.approx(6.0)


def test_an_early_breach_that_warmup_covers_has_passed():
    assert not only(run_of(lr_sharpness=[30, 20, 10, 2, 2, 2, 2, 2]), "unstable_curvature")


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_sharp_minimum_needs_a_gap_and_no_unit(scale):
    def ended(validation, sharpness):
        x = np.arange(100)
        return run_of(**{
            "loss/train": scale * (0.05 + 2 * np.exp(-x / 10)),
            "loss/validation": scale * np.linspace(2, validation, 100),
            "sharpness": np.full(5, scale * sharpness), "param_norm": np.full(20, 20.0),
        })  # fmt: skip

    assert only(ended(1.8, 100.0), "sharp_minimum")[0].severity is Severity.WARNING
    assert not only(ended(0.1, 100.0), "sharp_minimum")
    assert not only(ended(1.8, 1.0), "sharp_minimum")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_memorised_noise_ends_in_a_sharp_minimum(tmp_path, seed):
    torch.manual_seed(seed)
    model = mlp(width=128)
    x, y = torch.rand(64, 64), torch.randint(10, (64,))  # labels that cannot generalise
    run = train(
        tmp_path, model, torch.optim.SGD(model.parameters(), 0.02, momentum=0.9), batch=64,
        data=iter([(x, y)] * 400), validate=20,
    )  # fmt: skip
    assert {finding.id for finding in symptoms.find(run)} & {"sharp_minimum"}
