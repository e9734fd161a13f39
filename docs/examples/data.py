"""What the examples train on: points of three clusters, and sentences in which each word follows from the last."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

SAMPLES, FEATURES, CLASSES = 512, 8, 3


def clusters() -> TensorDataset:
    """Points and their cluster's number."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, CLASSES, (SAMPLES,), generator=generator)
    x = torch.randn(SAMPLES, FEATURES, generator=generator) + 2 * nn.functional.one_hot(y, FEATURES)
    return TensorDataset(x, y)


def batches(size: int = 32) -> DataLoader[tuple[Tensor, ...]]:
    """The same in shuffled batches."""
    return DataLoader(clusters(), batch_size=size, shuffle=True)


def classifier() -> nn.Module:
    """A small network for them."""
    return nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, CLASSES))
