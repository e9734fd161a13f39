"""Norms of whatever parameters and gradients hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import diagnose
from diagnose.hooks.norms import norms_of

EVERY = diagnose.Cadence(updates=1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64])
def test_a_norm_is_right_in_every_precision(dtype):
    tensors = [torch.randn(50).to(dtype), torch.randn(3, 4).to(dtype).conj()]
    wide = torch.complex128 if dtype.is_complex else torch.float64
    assert np.allclose(norms_of(tensors), [float(t.to(wide).norm()) for t in tensors], rtol=1e-3)
    assert {norm.dtype for norm in norms_of(tensors)} == {torch.float32}


def test_half_precision_does_not_overflow():
    assert norms_of([torch.full((100,), 6e4, dtype=torch.float16)])[0].item() == pytest.approx(6e5, rel=1e-3)


def test_a_row_that_a_sparse_tensor_holds_twice_counts_once_with_its_sum():
    twice = torch.sparse_coo_tensor([[0, 0]], [3.0, 4.0], (2,))
    assert norms_of([twice])[0].item() == 7


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64])
def test_models_in_other_precisions_are_measured_as_any(tmp_path, dtype, caplog):
    torch.manual_seed(0)
    model = nn.Linear(4, 3).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    expected = []
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=EVERY):
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(5, 4).to(dtype)).abs().square().sum().backward()
            before = torch.cat([p.detach().flatten() for p in model.parameters()])
            gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
            optimizer.step()
            after = torch.cat([p.detach().flatten() for p in model.parameters()])
            expected.append([gradient.norm(), (after - before).norm() / before.norm(), after.norm()])
    run = diagnose.load(tmp_path)
    for name, column in zip(("grad_norm", "update_ratio", "param_norm"), np.array(expected).T, strict=True):
        assert np.allclose(run.scalars[name].values, np.real(column), rtol=1e-4), name
    assert not caplog.records


def test_quantised_frozen_weights_are_left_out_and_the_rest_measured(tmp_path, caplog):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model[0].weight = nn.Parameter(torch.randint(255, (4, 4), dtype=torch.uint8), requires_grad=False)
    model[0].forward = lambda x: x @ model[0].weight.float() + model[0].bias
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=EVERY):
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(5, 4)).square().mean().backward()
            optimizer.step()
    run = diagnose.load(tmp_path)
    assert len(run.scalars["grad_norm"]) == len(run.scalars["param_norm"]) == 3
    rest = [p.detach() for p in model.parameters() if p.is_floating_point()]
    assert run.scalars["param_norm"].values[-1] == pytest.approx(float(torch.cat([p.flatten() for p in rest]).norm()))
    assert not caplog.records


def test_gradients_that_carry_a_graph_are_measured_without_it(training, tmp_path, caplog):
    expected = []
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path, cadence=EVERY):
        for _ in range(3):
            training.optimizer.zero_grad()
            training.criterion(training.model(training.x), training.y).backward(create_graph=True)
            expected.append(float(torch.cat([p.grad.flatten() for p in training.model.parameters()]).norm()))
            training.optimizer.step()
            training.model.zero_grad()
    assert np.allclose(diagnose.load(tmp_path).scalars["grad_norm"].values, expected, rtol=1e-5)
    assert not caplog.records
