"""The gradient noise scale on a quadratic whose gradient and noise are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import diagnose


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


def test_it_is_told_for_accumulated_batches_as_one(training, tmp_path):
    seen = []
    with diagnose.attach(
        training.model, training.optimizer, run_dir=tmp_path, cadence=diagnose.Cadence(noise=2)
    ) as monitor:
        for _ in range(4):
            training.optimizer.zero_grad()
            for part in range(3):
                training.loss(slice(32 * part, 32 * part + 32)).backward()
            seen.append(monitor._samples)
            training.optimizer.step()
    assert seen == [96] * 4
    assert diagnose.load(tmp_path).scalars["noise_scale"].steps.tolist() == [2, 4]
