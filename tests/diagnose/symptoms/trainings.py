"""Small real trainings, watched by `diagnose.attach`: a sound one of each kind, and what faults are put into."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import diagnose
from diagnose.run import Run

CADENCE = diagnose.Cadence(gradients=1, activations=5, updates=5, noise=4, curvature=40)
CLASSES = 10


@cache
def digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    return torch.tensor(data.data / 16, dtype=torch.float32)[order], torch.tensor(data.target)[order]


def batches(size: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """`steps` shuffled batches of the first 1,297 digits, as many epochs as that takes."""
    x, y = (part[:1297] for part in digits())
    while True:
        for rows in torch.split(torch.randperm(len(x)), size):
            if steps == 0:
                return
            steps -= 1
            yield x[rows], y[rows]


def mlp(depth: int = 3, width: int = 64, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    sizes = [64, *[width] * (depth - 1)]
    hidden = [part for size in sizes for part in (nn.Linear(size, width), activation())]
    return nn.Sequential(*hidden, nn.Linear(width, CLASSES))


def convnet() -> nn.Sequential:
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), *block(1, 8), *block(8, 16), nn.MaxPool2d(2), *block(16, 16),
        nn.Flatten(), nn.Linear(256, CLASSES),
    )  # fmt: skip


class Gpt(nn.Module):
    """Two blocks over the digits' 16 grey levels as tokens, each predicted from those before it."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(17, width), nn.Embedding(64, width)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 4 * width, 0.1, "gelu", batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 17)

    def forward(self, x: Tensor) -> Tensor:
        tokens = (x * 16).long()[:, :32]
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1] - 1)
        signal = self.tokens(tokens[:, :-1]) + self.places(torch.arange(tokens.shape[1] - 1))
        for block in self.blocks:
            signal = block(signal, src_mask=mask, is_causal=True)
        out = self.head(self.norm(signal))
        return nn.functional.cross_entropy(out.flatten(0, 1), tokens[:, 1:].flatten())


class Rows(nn.Module):
    """An LSTM that reads a digit row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, 48, batch_first=True), nn.Linear(48, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x.view(-1, 8, 8))[0][:, -1])


def train(
    directory: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    steps: int = 240,
    batch: int = 32,
    change: Callable[[Tensor], Tensor] = lambda x: x,
    clip: float | None = None,
    scheduler: Any = None,
    scaler: torch.amp.GradScaler | None = None,
    each_step: Callable[[int], None] = lambda step: None,
    data: Iterator[tuple[Tensor, Tensor]] | None = None,
    validate: int | None = None,
    **config: Any,
) -> Run:
    """Train on digits and return the run as its log holds it."""
    criterion = nn.CrossEntropyLoss()
    with diagnose.attach(
        model, optimizer, criterion=None if isinstance(model, Gpt) else criterion, run_dir=directory, cadence=CADENCE,
        scaler=scaler, config={"batch_size": batch, **config},
    ) as monitor:  # fmt: skip
        for step, (x, y) in enumerate(data or batches(batch, steps)):
            each_step(step)
            optimizer.zero_grad()
            loss = model(change(x)) if isinstance(model, Gpt) else criterion(model(change(x)), y)
            if isinstance(model, Gpt):
                monitor.log(loss=loss)
            (loss if scaler is None else scaler.scale(loss)).backward()
            if scaler is not None:
                scaler.unscale_(optimizer)
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)
                scaler.update()
            if scheduler is not None:
                scheduler.step()
            if validate is not None and step % validate == validate - 1:
                held_out = [part[1297:] for part in digits()]
                model.eval()
                with torch.no_grad():
                    criterion(model(change(held_out[0])), held_out[1])
                model.train()
    return diagnose.load(directory)


# --- sound runs, one of each kind ---------------------------------------------------------------------


def _sgd(directory: Path) -> Run:
    model = mlp()
    return train(directory, model, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9))


def _adam(directory: Path) -> Run:
    model = mlp()
    return train(directory, model, torch.optim.Adam(model.parameters(), 1e-3))


def _small_batch(directory: Path) -> Run:
    model = mlp()
    return train(directory, model, torch.optim.SGD(model.parameters(), 0.05), batch=2, steps=600)


def _convnet(directory: Path) -> Run:
    model = convnet()
    return train(directory, model, torch.optim.SGD(model.parameters(), 0.05, momentum=0.9), steps=150, validate=15)


def _gpt(directory: Path) -> Run:
    model = Gpt()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    warmup = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(step / 20, 1.0) * (0.55 + 0.45 * math.cos(math.pi * step / 120))
    )
    return train(directory, model, optimizer, steps=120, clip=1.0, scheduler=warmup)


def _lstm(directory: Path) -> Run:
    model = Rows()
    return train(directory, model, torch.optim.Adam(model.parameters(), 3e-3), steps=200, clip=5.0)


def _warm_restarts(directory: Path) -> Run:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    restarts = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 60)
    return train(directory, model, optimizer, scheduler=restarts)


def _fine_tuning(directory: Path) -> Run:
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for x, y in batches(32, 300):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    model[-1] = nn.Linear(64, CLASSES)
    for parameter in model[0].parameters():
        parameter.requires_grad = False
    return train(directory, model, torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1e-3))


def _low_rate(directory: Path) -> Run:
    """Fine-tuning so gently that nothing much happens."""
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for x, y in batches(32, 200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return train(directory, model, torch.optim.SGD(model.parameters(), 1e-5))


def _scaled(directory: Path) -> Run:
    """Loss scaling as it goes: a start too high, a few skips, a doubling now and then."""
    model = mlp()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=60)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)

    def overflow(step: int) -> None:
        if step in (3, 4, 130):
            next(model.parameters()).register_hook(lambda g: g * math.inf if step == current[0] else g)
        current[0] = step

    current = [0]
    return train(directory, model, optimizer, scaler=scaler, each_step=overflow)


def _tanh(directory: Path) -> Run:
    model = mlp(activation=nn.Tanh)
    return train(directory, model, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9))


def _edge_of_stability(directory: Path) -> Run:
    """Full-batch gradient descent, where η·λ_max climbs to 2 and hovers there."""
    model = mlp(depth=2, width=32, activation=nn.Tanh)
    x, y = (part[:500] for part in digits())
    return train(
        directory, model, torch.optim.SGD(model.parameters(), 0.5), batch=500, dataset_size=500,
        data=iter([(x, y)] * 500),
    )  # fmt: skip


def _converged(directory: Path) -> Run:
    """Trained until nothing is left to learn."""
    model = mlp(depth=2, width=128)
    return train(directory, model, torch.optim.SGD(model.parameters(), 0.2, momentum=0.9), steps=700, batch=128)


HEALTHY = {
    "sgd": _sgd, "adam": _adam, "small batch": _small_batch, "batchnorm convnet": _convnet, "gpt": _gpt,
    "lstm": _lstm, "warm restarts": _warm_restarts, "fine-tuning": _fine_tuning, "low rate": _low_rate,
    "loss scaling": _scaled, "tanh": _tanh, "edge of stability": _edge_of_stability, "converged": _converged,
}  # fmt: skip
SEEDS = (0, 1)


def healthy(kind: str, seed: int, directory: Path) -> Run:
    """One sound run of a kind of HEALTHY."""
    torch.manual_seed(seed)
    return HEALTHY[kind](directory)
