"""Small real trainings on scikit-learn's digits, recorded as runs: healthy as they stand, ill by one setting."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from diagnose.run import Run, Series, Setup

CLASSES, LARGEST_PIXEL, VALIDATION = 10, 16.0, 500
Batch = tuple[Tensor, Tensor]


def constant(share: float) -> float:
    """The full rate from the first step to the last."""
    return 1.0


def cosine(share: float) -> float:
    """Down to 0 over the run."""
    return 0.5 * (1 + math.cos(math.pi * share))


def restarts(share: float) -> float:
    """Four cosines, one after the other (SGDR)."""
    return cosine(share * 4 % 1)


def train(
    seed: int = 0,
    *,
    lr: float = 0.05,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    dropout: float = 0.0,
    batch_size: int = 32,
    epochs: int = 12,
    width: int = 64,
    train_size: int | None = None,
    schedule: Callable[[float], float] = constant,
    ordered: bool = False,
    labels: str = "true",
    clip: float | None = None,
    disturb: Callable[[float, int, Batch], Batch] = lambda share, step, batch: batch,
    prepare: Callable[[nn.Sequential], object] = lambda model: None,
    model: nn.Sequential | None = None,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.SGD,
) -> Run:
    """Train a network of one hidden layer; four validations an epoch.

    `disturb(share, step, batch)` gives the batch that is trained on, `prepare(model)` spoils the model.
    """
    torch.manual_seed(seed)
    x, y, validation_x, validation_y = _digits(seed, train_size)
    if labels == "random":
        y = torch.randint(CLASSES, y.shape)
    if ordered:
        order = y.argsort()
        x, y = x[order], y[order]
    if model is None:
        model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, CLASSES))
    prepare(model)
    settings: dict[str, float] = {"momentum": momentum} if optimizer is torch.optim.SGD else {}
    steps = epochs * -(-len(x) // batch_size)
    stepper = optimizer(model.parameters(), lr=lr, weight_decay=weight_decay, **settings)
    rate = torch.optim.lr_scheduler.LambdaLR(stepper, lambda step: schedule(min(step / steps, 1.0)))
    criterion = nn.CrossEntropyLoss()
    log: dict[str, list[tuple[int, float]]] = {}

    def record(name: str, value: float) -> None:
        log.setdefault(name, []).append((step, float(value)))

    step = 0
    every = max(1, steps // (4 * epochs))
    for _ in range(epochs):
        rows = torch.arange(len(x)) if ordered else torch.randperm(len(x))
        for part in torch.split(rows, batch_size):
            step += 1
            batch_x, batch_y = disturb(step / steps, step, (x[part], y[part]))
            stepper.zero_grad()
            output = model(batch_x)
            loss = criterion(output, batch_y)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), clip or math.inf)
            record("loss/train", loss.item())
            record("accuracy/train", (output.argmax(1) == batch_y).float().mean().item())
            record("grad_norm", float(norm))
            record("lr/group0", float(rate.get_last_lr()[0]))
            stepper.step()
            rate.step()
            if step % every == 0:
                model.eval()
                with torch.no_grad():
                    output = model(validation_x)
                    record("loss/validation", criterion(output, validation_y).item())
                    record("accuracy/validation", (output.argmax(1) == validation_y).float().mean().item())
                model.train()
    config = {"batch_size": batch_size, "epochs": epochs, "dataset_size": len(x), "num_classes": CLASSES}
    return recorded(log, config)


def recorded(log: dict[str, list[tuple[int, float]]], config: Mapping[str, object] | None = None) -> Run:
    """A run of what was logged: name -> (step, value) pairs."""
    scalars = {}
    for name, pairs in log.items():
        steps, values = zip(*pairs, strict=True)
        scalars[name] = Series(np.array(steps), np.array(values, float), np.array(steps, float))
    return Run("a training", Setup(config=config or {}), scalars)


def without(run: Run, *names: str, config: bool = True) -> Run:
    """The same run, had these signals (or the config) not been logged."""
    scalars = {name: series for name, series in run.scalars.items() if name not in names}
    return Run(run.path, run.setup if config else Setup(), scalars)


def _digits(seed: int, train_size: int | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    data = load_digits()
    images = torch.tensor(data.data / LARGEST_PIXEL, dtype=torch.float32)
    labels = torch.tensor(data.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    validation, rest = order[:VALIDATION], order[VALIDATION:][:train_size]
    return images[rest], labels[rest], images[validation], labels[validation]


def wrong_labels(share: float) -> Callable[[Batch], Batch]:
    """A batch of which this share of labels, the same ones each time, is wrong."""

    def spoilt(batch: Batch) -> Batch:
        x, y = batch
        return x, torch.where(x.sum(1) * 1000 % 1 < share, (y + 3) % CLASSES, y)

    return spoilt


def guessed_labels(batch: Batch, share: float) -> Batch:
    """A batch of which this share of labels is drawn anew each time."""
    x, y = batch
    return x, torch.where(torch.rand(len(y)) < share, torch.randint(CLASSES, y.shape), y)


def pretrained() -> nn.Sequential:
    """A network that has learned the digits already."""
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.0), nn.Linear(64, CLASSES))
    train(99, model=model, epochs=10)
    return model


def _louder(model: nn.Sequential) -> None:
    """Logits fifteen times as large at the start: a high first loss."""
    with torch.no_grad():
        next(iter(model[-1].parameters())).mul_(15)


HEALTHY: dict[str, Callable[[int], Run]] = {
    "cosine": lambda seed: train(seed, schedule=cosine, epochs=15),
    "converged at a constant rate": lambda seed: train(seed, epochs=40),
    "two samples a batch": lambda seed: train(seed, batch_size=2, lr=0.002, epochs=3),
    "one sample a batch": lambda seed: train(seed, batch_size=1, lr=0.001, epochs=3),
    "warm restarts": lambda seed: train(seed, schedule=restarts, lr=0.1, epochs=24),
    "step decay": lambda seed: train(seed, schedule=lambda share: 0.1 ** int(3 * share), epochs=20),
    "a high loss early": lambda seed: train(seed, prepare=_louder, schedule=cosine, epochs=15),
    "one spike": lambda seed: train(
        seed,
        lr=0.01,
        epochs=15,
        disturb=lambda share, step, batch: wrong_labels(1.0)(batch) if step == 300 else batch,
    ),
    "fine-tuning": lambda seed: train(seed, model=pretrained(), lr=1e-4, epochs=10),
    "Adam": lambda seed: train(seed, optimizer=torch.optim.Adam, lr=1e-3, epochs=15),
    "all samples in a batch": lambda seed: train(seed, batch_size=2000, lr=0.1, epochs=300),
    "random wrong labels": lambda seed: train(
        seed, epochs=15, schedule=cosine, disturb=lambda share, step, batch: guessed_labels(batch, 0.2)
    ),
}
