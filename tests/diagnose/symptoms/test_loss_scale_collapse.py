"""Loss-scale collapse: halved to nothing, or skipping on and on; settling and doubling are ordinary."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import diagnose
from diagnose import symptoms
from diagnose.findings import Severity
from tests.diagnose.symptoms.trainings import mlp, train


def only(run):
    return list(symptoms.find(run, only=["loss_scale_collapse"]))


def overflowing(directory, ill, seed=0):
    """A run whose gradients overflow at the steps for which `ill` holds."""
    torch.manual_seed(seed)
    model, now = mlp(), [0]
    model[0].weight.register_hook(lambda g: g * math.inf if ill(now[0]) else g)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=100)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return train(directory, model, optimizer, scaler=scaler, each_step=lambda step: now.__setitem__(0, step))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gradients_that_overflow_at_every_scale_collapse_it(tmp_path, seed):
    run = overflowing(tmp_path, lambda step: step >= 150, seed)
    (finding,) = only(run)
    assert finding.severity is Severity.CRITICAL and 148 <= finding.window[0] <= 151
    assert diagnose.examine(run).causes[0].id in {"precision", "lr_too_high"}


@pytest.mark.parametrize("every", [4, 10])
def test_skips_that_go_on_are_a_warning(tmp_path, every):
    if every == 4:  # halved more often than doubled, it falls below 1 in the end
        assert only(overflowing(tmp_path, lambda step: step % every == 0))[0].severity is Severity.CRITICAL
    else:
        found = only(overflowing(tmp_path, lambda step: step > 120 and step % every == 0))
        assert found[0].severity is Severity.WARNING


def test_sound_runs_have_none(assert_silent):
    assert_silent("loss_scale_collapse")


def test_a_start_far_too_high_that_settles_is_ordinary(run_with):
    scale = np.concatenate([2.0 ** np.arange(24, 10, -1), np.full(500, 2.0**11)])
    skipped = np.concatenate([np.arange(14), np.full(500, 14)])
    assert not only(run_with(loss_scale=scale, skipped_steps=skipped))
    assert not only(run_with(loss_scale=scale))


def test_a_skip_after_each_doubling_is_ordinary(run_with):
    steps = np.arange(20_000)
    scale = np.where(steps % 2000 < 1000, 2.0**15, 2.0**16)
    assert not only(run_with(loss_scale=scale, skipped_steps=steps // 2000))


@pytest.mark.parametrize("scale", [1.0, 0.5, 128.0])
def test_a_scale_that_never_moves_is_a_setting(run_with, scale):
    assert not only(run_with(loss_scale=np.full(300, scale)))


def test_halvings_stand_in_for_a_count_of_skips(run_with):
    scale = 2.0**16 * 2.0 ** -(np.arange(200) // 10 % 14)
    assert only(run_with(loss_scale=scale))[0].severity is Severity.WARNING
