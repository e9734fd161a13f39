"""`attach` as a framework's adapter calls it: with what the framework knows, and what the user says besides."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Any, Literal, TypedDict

from torch import nn
from torch.optim import Optimizer

from diagnose.findings import Finding
from diagnose.hooks import arguments
from diagnose.hooks.cadence import Cadence
from diagnose.hooks.monitor import Monitor, attach

Split = Literal["train", "validation"]


class Options(TypedDict, total=False):
    """What an adapter takes and hands on to `attach`; the framework knows the rest."""

    criterion: nn.Module
    run_dir: str | os.PathLike[str]
    config: Mapping[str, Any]  # beside what the framework tells, which it overrides
    cadence: Cadence | Literal["auto"]
    on_finding: Callable[[Finding], None]
    halt_on: Iterable[str]
    keep_batch: bool


def checked(options: Options) -> Options:
    """The options; raises `InvalidArgumentError` for a `halt_on` id that is none, long before training starts."""
    if "halt_on" in options:
        return {**options, "halt_on": arguments.halting_ids(options["halt_on"])}
    return options


def attached(
    model: nn.Module,
    optimizer: Optimizer | None,
    options: Options,
    *,
    scheduler: object = None,
    scaler: object = None,
    config: Mapping[str, Any],
    ranks: int = 1,
) -> Monitor:
    """A monitor; `ranks` is told where a wrapper averages gradients that `model` is no part of."""
    told = {name: value for name, value in config.items() if value is not None}
    whole: Options = {**options, "config": {**told, **options.get("config", {})}}
    monitor = attach(model, optimizer, scheduler=scheduler, scaler=scaler, **whole)
    if ranks > 1:
        monitor._ranks = monitor._course._losses.ranks = ranks
        monitor._guard.run("set-up", monitor._describe)
    return monitor


def log(monitor: Monitor, split: Split, name: str, value: Any) -> None:
    """`Monitor.log` of one value whose name is the framework's: “step” and “split” are names there as well.

    A loss that is seen as it is computed is left alone: what is logged of it may be an average over an epoch.
    """
    if f"{name}/{split}" not in monitor._course._losses.seen:
        monitor._guard.run(f"log({name}=…)", monitor._log_one, None, split, name, value)


def size_of(dataset: Any) -> int | None:
    """The number of samples; None of a stream, which may have a `__len__` that raises whatever it likes."""
    try:
        return len(dataset) if isinstance(dataset, Sized) else None
    except Exception:  # noqa: BLE001  the user's own code
        return None
