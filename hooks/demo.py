"""Four real runs on scikit-learn's handwritten digits: one healthy, three ill in different ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diagnose.errors import DiagnoseError
from diagnose.hooks.monitor import attach

CLASSES, PIXELS, LARGEST_PIXEL = 10, 64, 16.0
VALIDATION = 500  # of 1,797 images, drawn with a fixed seed
SEED = 0


@dataclass(frozen=True)
class DemoRun:
    """One run: what is changed against the healthy one, and a sentence about it."""

    name: str
    about: str
    settings: dict[str, Any] = field(default_factory=dict)


RUNS = (
    DemoRun("healthy", "a sound set-up"),
    DemoRun("diverging", "the same with a learning rate far too high", {"lr": 8.0}),
    DemoRun(
        "overfitting",
        "a deeper, wider network on 80 images, for very long",
        {"train_size": 80, "epochs": 150, "width": 256, "depth": 4, "weight_decay": 0.0},
    ),
    DemoRun("vanishing", "ten layers of sigmoid units", {"activation": "Sigmoid", "depth": 10}),
)
HEALTHY: dict[str, Any] = {
    "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "batch_size": 32, "epochs": 15,
    "width": 64, "depth": 2, "activation": "ReLU", "train_size": None,
}  # fmt: skip


def train_demo_runs(root: Path, progress: Callable[[str, float], None]) -> Iterator[Path]:
    """Train each run below `root` and yield its directory; `progress` gets its name and the share done.

    Raises `DiagnoseError` where scikit-learn, which brings the digits, is not installed.
    """
    for run in RUNS:
        directory = root / run.name
        _train(directory, {**HEALTHY, **run.settings}, partial(progress, run.name))
        yield directory


def _train(directory: Path, settings: dict[str, Any], progress: Callable[[float], None]) -> None:
    torch.manual_seed(SEED)
    train_x, train_y, validation_x, validation_y = _digits(settings["train_size"])
    model = _network(settings["width"], settings["depth"], settings["activation"])
    optimizer = torch.optim.SGD(
        model.parameters(), lr=settings["lr"], momentum=settings["momentum"], weight_decay=settings["weight_decay"]
    )
    criterion = nn.CrossEntropyLoss()
    config = {
        "batch_size": settings["batch_size"], "epochs": settings["epochs"], "dataset_size": len(train_x),
        "num_classes": CLASSES, "dataset_version": "scikit-learn digits", "seed": SEED, "task": "classification",
    }  # fmt: skip
    with attach(model, optimizer, criterion=criterion, run_dir=directory, config=config) as monitor:
        for epoch in range(settings["epochs"]):
            model.train()
            for rows in torch.split(torch.randperm(len(train_x)), settings["batch_size"]):
                optimizer.zero_grad()
                criterion(model(train_x[rows]), train_y[rows]).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                output = model(validation_x)
                criterion(output, validation_y)
            monitor.log(split="validation", accuracy=(output.argmax(1) == validation_y).float().mean())
            progress((epoch + 1) / settings["epochs"])


def _network(width: int, depth: int, activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(depth):
        layers += [nn.Linear(PIXELS if number == 0 else width, width), getattr(nn, activation)()]
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def _digits(train_size: int | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DiagnoseError("The demo trains on scikit-learn's digits: pip install 'torch-diagnose[demo]'.") from error
    data = load_digits()
    images = torch.tensor(data.data / LARGEST_PIXEL, dtype=torch.float32)
    labels = torch.tensor(data.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    validation, train = order[:VALIDATION], order[VALIDATION:][:train_size]
    return images[train], labels[train], images[validation], labels[validation]
