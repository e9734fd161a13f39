"""A training into which a fault breaks: the same losses each time, told to whoever watches from outside."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import torch
from torch import Tensor, nn

import diagnose
from diagnose.logs.writing import EventFile

ROWS: Final = 96
BATCH: Final = 32
TOLD: Final = 1  # the file descriptor on which a training tells what it does: no disk that fails stands between


@dataclass
class Scene:
    """What a fault may change before training begins, and what it does while that runs.

    `steps` is None where only the fault ends the training. `run_dir` may be set to a URL.
    """

    place: Path  # an empty folder of its own
    watched: bool
    steps: int | None
    seed: int
    run_dir: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)  # to attach
    runs: list[str] = field(default_factory=list)  # further ones, of further monitors
    at: dict[int, Callable[[], object]] = field(default_factory=dict)  # step -> what happens before it, if watched
    breaks_at: int = 0  # a step at which the model's own weights break, watched or not
    workers: Mapping[str, Any] | None = None  # to a DataLoader
    model: nn.Module = field(init=False)
    monitors: list[diagnose.Monitor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.run_dir = self.run_dir or str(self.place / "run")
        self.instant = random.Random(self.seed)  # of the fault, not of the training


class WithLoss(nn.Module):
    """A model that computes its loss itself."""

    def __init__(self, model: nn.Module, criterion: nn.Module) -> None:
        super().__init__()
        self.model, self.criterion = model, criterion

    def forward(self, inputs: Tensor, targets: Tensor) -> SimpleNamespace:
        """With a loss in it."""
        return SimpleNamespace(loss=self.criterion(self.model(inputs), targets))


def tell(**told: Any) -> None:
    """One line to whoever watches, whole or not at all; it is out of this process at once."""
    os.write(TOLD, (json.dumps(told) + "\n").encode())


def tell_flushes() -> None:
    """Have each flush of the log tell, once it is done, which steps it has brought out of this process."""
    write_step, flush, forget = EventFile.write_step, EventFile.flush, EventFile.forget
    waiting: dict[EventFile, list[int]] = {}

    def told_write(file: EventFile, step: int, wall_time: float, scalars: Iterable[Any], vectors: Any) -> None:
        write_step(file, step, wall_time, scalars, vectors)
        if any(name == "loss/train" for name, _ in scalars):
            waiting.setdefault(file, []).append(step)

    def told_flush(file: EventFile) -> None:
        steps = waiting.pop(file, [])
        flush(file)
        tell(flushed=steps, log=str(file.path.parent))

    def told_forget(file: EventFile) -> None:
        waiting.pop(file, None)
        forget(file)

    EventFile.write_step, EventFile.flush = told_write, told_flush  # type: ignore[method-assign, assignment]
    EventFile.forget = told_forget  # type: ignore[method-assign, assignment]


def train(scene: Scene) -> None:
    """Train, watched or not, until the steps are done or the fault ends it; each loss is told."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    scene.model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(scene.model.parameters(), lr=0.05, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    y = torch.randint(0, 3, (ROWS,))
    x = torch.randn(ROWS, 8) + 2 * nn.functional.one_hot(y, 8)
    arguments = {"cadence": diagnose.Cadence(), "criterion": criterion, **scene.arguments}
    if arguments["criterion"] is None:
        scene.model = WithLoss(scene.model, criterion)
    if scene.watched:
        for run_dir in (scene.run_dir, *scene.runs):
            scene.monitors.append(diagnose.attach(scene.model, optimizer, run_dir=run_dir, **arguments))
    tell(began=True)
    batches = _batches(x, y, scene.workers)
    for step in itertools.count(1) if scene.steps is None else range(1, scene.steps + 1):
        if step in scene.at and scene.watched:
            tell(fired=step)
            scene.at[step]()
        if step == scene.breaks_at:
            torch.nn.init.constant_(next(scene.model.parameters()), float("nan"))
        inputs, targets = next(batches)
        optimizer.zero_grad()
        own = isinstance(scene.model, WithLoss)
        loss = scene.model(inputs, targets).loss if own else criterion(scene.model(inputs), targets)
        loss.backward()
        optimizer.step()
        tell(loss=loss.item().hex(), step=step)
    for monitor in scene.monitors:
        monitor.close()


def _batches(x: Tensor, y: Tensor, workers: Mapping[str, Any] | None) -> Iterator[list[Tensor]]:
    if workers is None:
        while True:
            rows = torch.randperm(ROWS)[:BATCH]
            yield [x[rows], y[rows]]
    data = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True, persistent_workers=True, **workers)
    while True:
        yield from loader
