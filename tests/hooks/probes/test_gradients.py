"""Gradient norms against float64, under everything that changes which gradients there are."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import diagnose

EVERY = diagnose.Cadence()  # “auto” looks less often where steps are as short as here


def reference(model: nn.Module) -> tuple[list[float], float]:
    """Per-layer and global norms in float64."""
    layers = [m for m in model.modules() if list(m.parameters(recurse=False))]
    squares = [
        sum(float(p.grad.to_dense().double().square().sum()) for p in m.parameters(recurse=False) if p.grad is not None)
        for m in layers
    ]
    return [s**0.5 for s in squares], sum(squares) ** 0.5


def logged(run_dir) -> tuple[np.ndarray, np.ndarray]:
    run = diagnose.load(run_dir)
    return run.layer_signals["layers/grad_norm"].values, run.scalars["grad_norm"].values


def check(model, optimizer, loss, tmp_path):
    expected = []
    optimizer.register_step_pre_hook(lambda *_: expected.append(reference(model)))
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=EVERY):
        for _ in range(4):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
    layers, norms = logged(tmp_path)
    assert np.allclose(layers, [e[0] for e in expected], rtol=1e-5)
    assert np.allclose(norms, [e[1] for e in expected], rtol=1e-5)


def test_norms_are_those_of_float64(training, tmp_path):
    check(training.model, training.optimizer, training.loss, tmp_path)


def test_a_frozen_layer_has_zero(training, tmp_path):
    training.model[0].requires_grad_(False)
    check(training.model, training.optimizer, training.loss, tmp_path)
    assert (logged(tmp_path)[0][:, 0] == 0).all()


def test_a_layer_frozen_in_mid_run_is_followed(training, tmp_path):
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path, cadence=EVERY):
        training.run(3)
        training.model[0].requires_grad_(False)
        training.model[0].zero_grad()
        training.run(3)
    first_layer = logged(tmp_path)[0][:, 0]
    assert (first_layer[:3] > 0).all() and (first_layer[3:] == 0).all()


def test_sparse_gradients_with_repeated_rows_are_right(tmp_path):
    model = nn.Sequential(nn.EmbeddingBag(10, 4, sparse=True, mode="sum"), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rows = torch.tensor([[1, 1, 2], [1, 5, 5]])
    check(model, optimizer, lambda: model(rows).square().mean(), tmp_path)


def test_a_shared_weight_counts_once(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Tanh(), nn.Linear(4, 4, bias=False))
    model[2].weight = model[0].weight
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=EVERY):
        model(torch.randn(6, 4)).square().sum().backward()
        expected = float(model[0].weight.grad.double().norm())
        optimizer.step()
    layers, norms = logged(tmp_path)
    assert np.allclose(layers[0], [expected, 0]) and np.isclose(norms[0], expected)


def test_half_precision_gradients_do_not_overflow_their_norm(tmp_path):
    model = nn.Linear(1000, 10, bias=False).to(torch.float16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    model.weight.grad = torch.full_like(model.weight, 1e4)
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=EVERY):
        optimizer.step()
    assert np.isclose(logged(tmp_path)[1][0], 1e6, rtol=1e-3)


def test_clipped_gradients_are_seen_as_the_optimizer_sees_them(training, tmp_path):
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path, cadence=EVERY):
        for _ in range(5):
            training.optimizer.zero_grad()
            training.loss().backward()
            nn.utils.clip_grad_norm_(training.model.parameters(), 1e-3)
            training.optimizer.step()
    assert np.allclose(logged(tmp_path)[1], 1e-3, rtol=1e-2)
