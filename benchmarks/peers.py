"""What others do to watch a training: the naive way, histograms, and wandb.watch.

Each is a context manager over a workload that yields the step to be taken from then on. What it does inside its hooks
and calls runs on the stopwatch.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stopwatch import Stopwatch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from workloads import Workload

PERIOD = 100  # steps between two histograms, and between two looks of wandb.watch

Step = Callable[[], None]


@contextmanager
def scalars_each_step(workload: Workload, stopwatch: Stopwatch) -> Iterator[Step]:
    """The naive way: `.item()` and `add_scalar` of each parameter's gradient norm and each layer's output."""
    number = 0

    def after_layer(name: str) -> Callable[..., None]:
        def look(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            writer.add_scalar(f"activation_mean/{name}", output.mean().item(), number)
            writer.add_scalar(f"activation_variance/{name}", output.var().item(), number)

        return stopwatch.timed(look)

    @stopwatch.timed
    def log_gradients() -> None:
        for name, parameter in workload.model.named_parameters():
            writer.add_scalar(f"grad_norm/{name}", parameter.grad.norm().item(), number)

    def step() -> None:
        nonlocal number
        workload.step()
        log_gradients()
        number += 1

    layers = {name: layer for name, layer in workload.model.named_modules() if not list(layer.children())}
    with tempfile.TemporaryDirectory() as directory, SummaryWriter(directory) as writer:
        for name, layer in layers.items():
            layer.register_forward_hook(after_layer(name))
        yield step


@contextmanager
def histograms(workload: Workload, stopwatch: Stopwatch) -> Iterator[Step]:
    """`add_histogram` of every parameter and its gradient, once in PERIOD steps."""
    number = 0

    @stopwatch.timed
    def log_all() -> None:
        for name, parameter in workload.model.named_parameters():
            writer.add_histogram(f"parameters/{name}", parameter, number)
            writer.add_histogram(f"gradients/{name}", parameter.grad, number)

    def step() -> None:
        nonlocal number
        workload.step()
        number += 1
        if number % PERIOD == 0:
            log_all()

    with tempfile.TemporaryDirectory() as directory, SummaryWriter(directory) as writer:
        yield step


@contextmanager
def wandb_watch(workload: Workload, stopwatch: Stopwatch) -> Iterator[Step]:
    """`wandb.watch(log="all", log_freq=PERIOD)` offline; what it has gathered is sent by a `log` at those steps.

    Its service is a process of its own: that one's CPU time is not in the figures.
    """
    os.environ["WANDB_SILENT"] = "true"
    import wandb
    from wandb.integration.torch import wandb_torch

    number = 0

    def step() -> None:
        nonlocal number
        workload.step()
        number += 1
        if number % PERIOD == 0:
            send({})

    doors = (wandb_torch.TorchHistory, "log_tensor_stats"), (wandb_torch, "log_track_update")
    with tempfile.TemporaryDirectory() as directory, stopwatch.on(*doors):
        run = wandb.init(mode="offline", dir=directory, settings=wandb.Settings(console="off"))
        send = stopwatch.timed(run.log)
        run.watch(workload.model, log="all", log_freq=PERIOD)
        try:
            yield step
        finally:
            run.finish()


def installed_peers() -> dict[str, Callable[..., Any]]:
    """All peers by name; one line tells where wandb is left out."""
    peers = {
        "`.item()` and `add_scalar`, each step": scalars_each_step,
        f"`add_histogram`, each {PERIOD} steps": histograms,
    }
    if importlib.util.find_spec("wandb") is None:
        print("wandb is left out: it is not installed (pip install wandb).")
        return peers
    return {**peers, f'`wandb.watch(log="all")`, each {PERIOD} steps': wandb_watch}
