"""Ours: a training without anything, and the same training watched by `diagnose.attach`.

Like the peers, each is a context manager over a workload that yields the step to be taken.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from functools import partial
from typing import Literal

from stopwatch import DOORS, Stopwatch
from workloads import Workload

import diagnose

OFTEN = 10  # steps between two looks of each probe, with everything on

Step = Callable[[], None]
Variant = Callable[[Workload, Stopwatch], AbstractContextManager[Step]]


@contextmanager
def plain(workload: Workload, _stopwatch: Stopwatch) -> Iterator[Step]:
    """The training alone."""
    yield workload.step


@contextmanager
def watched(
    workload: Workload, stopwatch: Stopwatch, *, cadence: diagnose.Cadence | Literal["auto"] = "auto"
) -> Iterator[Step]:
    """The training with our monitor attached."""
    with (
        tempfile.TemporaryDirectory() as directory,
        stopwatch.on(*DOORS),
        diagnose.attach(
            workload.model, workload.optimizer, criterion=workload.criterion, run_dir=directory, cadence=cadence
        ),
    ):
        yield workload.step


def everything() -> diagnose.Cadence:
    """Gradients at every step and every other probe, whichever there are, at every tenth."""
    return diagnose.Cadence(**{field.name: OFTEN for field in fields(diagnose.Cadence)} | {"gradients": 1})


OURS: dict[str, Variant] = {
    'diagnose, `cadence="auto"`': watched,
    f"diagnose, all probes each {OFTEN} steps": partial(watched, cadence=everything()),
}
