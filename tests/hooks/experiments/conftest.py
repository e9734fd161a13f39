"""What the experiments run on: scikit-learn's digits, and a look at all that must be as before."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import diagnose


@pytest.fixture(scope="session")
def digits() -> TensorDataset:
    """1,797 handwritten digits of 64 pixels each, in a fixed random order."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return TensorDataset(torch.tensor(pixels[order], dtype=torch.float32) / 16, torch.tensor(labels[order]))


@pytest.fixture
def workshop(digits):
    """A training under way: dropout, BatchNorm, momentum, a frozen weight, gradients at hand, a loader of its own."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 32), nn.ReLU(),
        nn.Linear(32, 10),
    )  # fmt: skip
    model[4].bias.requires_grad_(False)
    model[1].eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    criterion = nn.CrossEntropyLoss()
    generator = torch.Generator().manual_seed(5)
    loader = DataLoader(digits, batch_size=32, shuffle=True, generator=generator)

    def train(steps: int) -> list[float]:
        batches = iter(loader)
        losses = []
        for _ in range(steps):
            x, y = next(batches)
            optimizer.zero_grad()
            noise = random.random() * float(np.random.rand())  # noqa: NPY002  the generator that models use
            loss = criterion(model(x + 0.01 * noise * torch.randn_like(x)), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    train(5)
    return SimpleNamespace(
        model=model, optimizer=optimizer, criterion=criterion, loader=loader, generator=generator, train=train
    )


def everything(model, optimizer=None, loader=None, scaler=None) -> dict[str, object]:
    """All that an experiment may not change, as values that compare bit for bit."""
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002
    state = {
        "weights": {name: (p.data_ptr(), p.detach().numpy().tobytes()) for name, p in model.named_parameters()},
        "buffers": {name: (id(b), b.numpy().tobytes()) for name, b in model.named_buffers()},
        "gradients": {
            name: None if p.grad is None else (id(p.grad), p.grad.numpy().tobytes())
            for name, p in model.named_parameters()
        },
        "trainable": {name: p.requires_grad for name, p in model.named_parameters()},
        "modes": [module.training for module in model.modules()],
        "hooks": [list(module._forward_hooks) for module in model.modules()],
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": str(numpy["state"]["key"].tobytes()) + str({**numpy, "state": numpy["state"]["pos"]}),
        "python": random.getstate(),
    }
    if optimizer is not None:
        state["optimizer"] = [
            (id(p), key, id(value), value.numpy().tobytes() if isinstance(value, torch.Tensor) else value)
            for p, values in optimizer.state.items()
            for key, value in values.items()
        ]
        state["groups"] = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
        state["attributes"] = {name: id(value) for name, value in vars(optimizer).items()}
    if loader is not None:
        state["loader"] = {name: id(value) for name, value in vars(loader).items()}
        generator = getattr(loader, "generator", None)
        state["generator"] = generator.get_state().numpy().tobytes() if generator is not None else None
    if scaler is not None:
        state["scaler"] = scaler.state_dict()
    return state


@pytest.fixture(name="everything")
def everything_of():
    return everything


@pytest.fixture
def plain(digits):
    """plain(seed, kind) -> an untrained classifier of digits with its optimizer, criterion and loader."""

    def made(seed=0, kind="momentum"):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer = {
            "plain": lambda: torch.optim.SGD(model.parameters(), lr=1e-5),
            "momentum": lambda: torch.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9),
            "adam": lambda: torch.optim.AdamW(model.parameters(), lr=1e-5),
        }[kind]()
        return model, optimizer, nn.CrossEntropyLoss(), DataLoader(digits, batch_size=32, shuffle=True)

    return made


@pytest.fixture
def quick(workshop):
    """quick(…) -> a short range test in the workshop."""

    def tested(**others):
        told = {"steps": 30, "lowest": 1e-4, **others}
        return diagnose.lr_range_test(workshop.model, workshop.optimizer, workshop.criterion, workshop.loader, **told)

    return tested
