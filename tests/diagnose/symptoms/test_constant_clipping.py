"""Constant clipping: a limit that cuts every step; a guard that acts rarely is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from diagnose import symptoms
from diagnose.causes import ranked
from diagnose.findings import Severity
from tests.diagnose.symptoms.trainings import mlp, train


def only(run):
    return list(symptoms.find(run, only=["constant_clipping"]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_rate_that_is_held_back_by_clipping_alone_is_named(tmp_path, seed):
    torch.manual_seed(seed)
    model = mlp(depth=6, activation=nn.LeakyReLU)
    run = train(tmp_path, model, torch.optim.SGD(model.parameters(), 30.0, momentum=0.9), clip=1.0)
    (finding,) = only(run)
    assert finding.severity is Severity.WARNING and finding.window[0] <= 3
    assert ranked([finding], run)[0].id == "lr_too_high"


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_a_low_limit_with_which_the_run_learns_is_only_told(tmp_path, optimizer):
    torch.manual_seed(0)
    model = mlp()
    lr = 5.0 if optimizer is torch.optim.SGD else 1e-3
    (finding,) = only(train(tmp_path, model, optimizer(model.parameters(), lr), clip=0.02))
    assert finding.severity is Severity.INFO and finding.evidence["limit"] == pytest.approx(0.02, rel=0.01)


def test_sound_runs_have_none(assert_silent):
    assert_silent("constant_clipping")


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_only_ratios_count(run_with, rng, scale):
    before = rng.lognormal(3.5, 0.3, 300)
    clipped = run_with(grad_norm=scale * np.minimum(before, 1), grad_norm_unclipped=scale * before)
    assert only(clipped)[0].evidence["times_too_large"] == pytest.approx(33, rel=0.1)
    rare = run_with(grad_norm=scale * np.minimum(before, 60), grad_norm_unclipped=scale * before)
    assert not only(rare)


def test_without_the_norm_before_a_flat_line_tells(run_with, rng):
    assert only(run_with(grad_norm=np.minimum(rng.lognormal(1.5, 0.3, 300), 1.0)))[0].severity is Severity.INFO
    assert not only(run_with(grad_norm=rng.lognormal(1.5, 0.3, 300)))


def test_clipping_of_the_first_steps_alone_is_what_it_is_for(run_with):
    before = np.concatenate([np.full(60, 50.0), np.full(240, 0.5)])
    assert not only(run_with(grad_norm=np.minimum(before, 1), grad_norm_unclipped=before))
