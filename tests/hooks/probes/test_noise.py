"""The gradient noise scale on a quadratic whose gradient and noise are known."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

import diagnose


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Quadratic(nn.Module):
    """Loss w · mean(x): its gradient is the mean of the batch, with whatever noise the batch has."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        return x.mean(dim=0) @ self.w


@pytest.mark.parametrize("batch", [4, 32])
@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_it_is_the_variance_over_the_squared_mean_whatever_the_batch(batch, sigma, tmp_path):
    generator = torch.Generator().manual_seed(0)
    mean = torch.linspace(-1, 1, 300)
    model = Quadratic(300)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=diagnose.Cadence(noise=2)):
        for _ in range(400):
            optimizer.zero_grad()
            model(mean + sigma * torch.randn(batch, 300, generator=generator)).backward()
            optimizer.step()
    expected = 300 * sigma**2 / float(mean.square().sum())
    series = diagnose.load(tmp_path).scalars["noise_scale"]
    assert np.median(series.values[-50:]) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("mean_of_parts", [True, False])
def test_micro_batches_give_it_at_every_look_whatever_the_rate(mean_of_parts, tmp_path):
    generator = torch.Generator().manual_seed(0)
    mean, parts = torch.linspace(-1, 1, 300), 4
    model = Quadratic(300)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=diagnose.Cadence(noise=3)):
        for _ in range(120):
            optimizer.zero_grad()
            for _ in range(parts):
                loss = model(mean + 2 * torch.randn(8, 300, generator=generator))
                (loss / parts if mean_of_parts else loss).backward()
            optimizer.step()
    run = diagnose.load(tmp_path)
    series = run.scalars["noise_scale"]
    assert series.steps.tolist() == list(range(1, 121, 3))
    assert run.setup.environment["noise_scale_from"] == "micro-batches"
    expected = 300 * 4 / float(mean.square().sum())
    assert np.median(series.values[-20:]) == pytest.approx(expected, rel=0.15)


def test_a_model_that_runs_twice_before_one_backward_pass_has_no_micro_batches(tmp_path):
    model = Quadratic(10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=diagnose.Cadence(noise=2)):
        for _ in range(6):
            first, second = model(1 + torch.randn(4, 10)), model(1 + torch.randn(4, 10))
            optimizer.zero_grad()
            (first + second).backward()
            optimizer.step()
    run = diagnose.load(tmp_path)
    assert run.setup.environment["noise_scale_from"] == "consecutive steps"
    assert run.scalars["noise_scale"].steps.tolist() == [2, 4, 6]


def test_clipped_gradients_are_not_compared_with_unclipped_parts(tmp_path):
    model = Quadratic(10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=diagnose.Cadence(noise=2)):
        for _ in range(6):
            optimizer.zero_grad()
            for _ in range(2):
                model(1 + torch.randn(4, 10)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
    assert diagnose.load(tmp_path).setup.environment["noise_scale_from"] == "consecutive steps"


def test_frozen_parameters_do_not_keep_it_from_being_told(training, tmp_path):
    training.model[0].requires_grad_(False)
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path):
        training.run(2)
    assert diagnose.load(tmp_path).scalars["noise_scale"].steps.tolist() == [2]


def train_on_two_ranks(rank, port, run_dir):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    generator = torch.Generator().manual_seed(rank)
    model = nn.parallel.DistributedDataParallel(Quadratic(300))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with diagnose.attach(model, optimizer, run_dir=run_dir, cadence=diagnose.Cadence(noise=2)):
        for _ in range(120):
            optimizer.zero_grad()
            model(torch.linspace(-1, 1, 300) + 2 * torch.randn(8, 300, generator=generator)).backward()
            optimizer.step()
    dist.destroy_process_group()


def test_ranks_give_it_from_what_each_has_before_gradients_are_averaged(tmp_path):
    mp.spawn(train_on_two_ranks, (free_port(), str(tmp_path)), nprocs=2)
    run = diagnose.load(tmp_path)
    series = run.scalars["noise_scale"]
    assert run.setup.environment["noise_scale_from"] == "ranks"
    expected = 300 * 4 / float(torch.linspace(-1, 1, 300).square().sum())
    assert np.median(series.values[-20:]) == pytest.approx(expected, rel=0.15)
