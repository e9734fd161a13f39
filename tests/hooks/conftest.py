"""A small training that every hook test runs for real."""

from __future__ import annotations

import importlib
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.multiprocessing.spawn import spawn

from diagnose.hooks import loader_indices, scripting
from diagnose.hooks.probes import clipping, precision

PATIENCE_S = 60.0  # ranks that take longer wait for each other for ever


class Training:
    """A classifier on Gaussian clusters: `run(n)` takes n optimizer steps and returns their losses."""

    def __init__(self, seed: int = 0, lr: float = 0.1) -> None:
        torch.manual_seed(seed)
        self.model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=lr, momentum=0.9)
        self.criterion = nn.CrossEntropyLoss()
        self.y = torch.randint(0, 3, (96,))
        self.x = torch.randn(96, 8) + 2 * nn.functional.one_hot(self.y, 8)

    def loss(self, rows: slice = slice(None)) -> torch.Tensor:
        return self.criterion(self.model(self.x[rows]), self.y[rows])

    def step(self) -> float:
        rows = torch.randperm(96)[:32]
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(self.x[rows]), self.y[rows])
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def run(self, steps: int) -> list[float]:
        return [self.step() for _ in range(steps)]

    @torch.no_grad()
    def evaluate(self) -> float:
        self.model.eval()
        value = self.loss().item()
        self.model.train()
        return value


@pytest.fixture(autouse=True)
def nobody_listens() -> None:
    """What an earlier test left open, to see what becomes of it, no longer hears what torch does."""
    all_taps: list[Any] = [clipping._CLIPPING, loader_indices._LOADERS, precision._SCALERS, scripting._SCRIPTING]
    for tapped in all_taps:
        for listener in tapped:
            tapped.discard(listener)


@pytest.fixture
def training() -> Training:
    return Training()


@pytest.fixture
def new_training():
    return Training


@pytest.fixture
def on_ranks() -> Callable[..., None]:
    """Runs `work(rank, port, *arguments)` in as many real processes; fails where one fails, or where they hang."""

    def run(ranks: int, work: Callable[..., None], *arguments: Any) -> None:
        context = spawn(_work_on_a_rank, (work, _free_port(), *arguments), nprocs=ranks, join=False)
        deadline = time.monotonic() + PATIENCE_S
        try:
            while not context.join(1.0):
                assert time.monotonic() < deadline, "the ranks wait for each other"
        finally:
            for process in context.processes:
                process.kill()

    return run


def _work_on_a_rank(rank: int, work: Callable[..., None], port: int, *arguments: Any) -> None:
    """Runs `work`. Some of torch's functions keep the process group of the time they are loaded at as a default.

    Loaded after the ranks have met, as the first optimizer does, they keep it beyond its destruction; its threads
    then run on until the interpreter is gone, and may abort the process (pytorch/pytorch#190489).
    """
    importlib.import_module("torch.distributed.nn.functional")
    work(rank, port, *arguments)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
