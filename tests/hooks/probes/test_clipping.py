"""The norm before clipping, however clipping was imported, and nothing left behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad, clip_grad_norm_

import diagnose
from diagnose.hooks.probes.clipping import INNER

EVERY = diagnose.Cadence()  # “auto” looks less often where steps are as short as here


def norm_of(model: nn.Module) -> float:
    return float(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm())


def test_both_norms_are_logged_where_torch_clips(training, tmp_path):
    expected = []
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path, cadence=EVERY):
        for _ in range(5):
            training.optimizer.zero_grad()
            training.loss().backward()
            expected.append(float(clip_grad_norm_(training.model.parameters(), 0.01)))
            training.optimizer.step()
    run = diagnose.load(tmp_path)
    assert np.allclose(run.scalars["grad_norm_unclipped"].values, expected, rtol=1e-6)
    assert np.allclose(run.scalars["grad_norm"].values, 0.01, rtol=1e-3)


def test_the_norm_before_values_are_clipped_is_logged_too(training, tmp_path):
    from torch.nn.utils import clip_grad_value_

    expected, clipped = [], []
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path, cadence=EVERY):
        for _ in range(5):
            training.optimizer.zero_grad()
            training.loss().backward()
            expected.append(norm_of(training.model))
            clip_grad_value_(training.model.parameters(), 0.001)
            clipped.append(norm_of(training.model))
            clip_grad_norm_(training.model.parameters(), 100.0)  # a second clipping hides nothing of the first
            training.optimizer.step()
    run = diagnose.load(tmp_path)
    assert run.scalars["grad_norm_unclipped"].values == pytest.approx(expected, rel=1e-5)
    assert run.scalars["grad_norm"].values == pytest.approx(clipped, rel=1e-5)


def test_another_models_clipping_and_other_norms_are_not_ours(training, new_training, tmp_path):
    other = new_training(seed=1)
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path, cadence=EVERY):
        other.loss().backward()
        clip_grad_norm_(other.model.parameters(), 1.0)
        clip_grad.clip_grad_value_(other.model.parameters(), 1.0)
        training.loss().backward()
        clip_grad_norm_(training.model.parameters(), 1.0, norm_type=float("inf"))
        training.optimizer.step()
    assert "grad_norm_unclipped" not in diagnose.load(tmp_path).scalars


def test_clipping_gives_the_same_result_and_is_put_back(training, tmp_path):
    inner = [getattr(clip_grad, name) for name in INNER]
    training.loss().backward()
    gradient = [p.grad.clone() for p in training.model.parameters()]
    plain = clip_grad_norm_(training.model.parameters(), 0.5)
    clipped = [p.grad.clone() for p in training.model.parameters()]
    for parameter, original in zip(training.model.parameters(), gradient, strict=True):
        parameter.grad = original
    first = diagnose.attach(training.model, training.optimizer, run_dir=tmp_path / "a", cadence=EVERY)
    second = diagnose.attach(training.model, training.optimizer, run_dir=tmp_path / "b", cadence=EVERY)
    assert torch.equal(clip_grad_norm_(training.model.parameters(), 0.5), plain)
    assert all(torch.equal(p.grad, c) for p, c in zip(training.model.parameters(), clipped, strict=True))
    first.close()
    assert all(getattr(clip_grad, name) is not original for name, original in zip(INNER, inner, strict=True))
    second.close()
    assert [getattr(clip_grad, name) for name in INNER] == inner


@pytest.mark.parametrize(
    "parameters", [lambda m: m.weight, lambda m: [m.weight], lambda m: iter([m.weight]), lambda m: []]
)
def test_whatever_may_be_clipped_may_be_clipped(parameters, tmp_path):
    model = nn.Linear(3, 1)
    with diagnose.attach(model, torch.optim.SGD(model.parameters(), lr=0.1), run_dir=tmp_path, cadence=EVERY):
        model(torch.randn(4, 3)).sum().backward()
        clip_grad_norm_(parameters(model), 1.0)
