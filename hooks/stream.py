"""From the device to the event log without the training waiting: rings, pending rows, a writer thread.

Each step has a row: numbers known on the host, slots of scalars and of per-layer vectors on the device.
Rows wait in the rings; a flush copies them out asynchronously and hands them to a background thread.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diagnose.logs import layout
from diagnose.logs.writing import EventFile

logger = logging.getLogger("diagnose")

ROWS = 128  # rows that the rings hold: the black box of the last steps
FLUSH_ROWS = 50
FLUSH_S = 1.0
SCALARS = 32  # device scalars a row starts with; the ring grows when a user logs more names
QUEUED_BLOCKS = 64  # a slower disk than this drops rows rather than hold up training
CLOSE_TIMEOUT_S = 30.0


@dataclass
class Row:
    """One step's values before they are written."""

    step: int
    slot: int
    wall_time: float
    sums: dict[str, float] = field(default_factory=dict)  # host numbers, weighted
    weights: dict[str, float] = field(default_factory=dict)
    columns: dict[str, int] = field(default_factory=dict)  # device scalars: name -> column
    vectors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class StepValues:
    """One step's values on the host, as they go to the log."""

    step: int
    wall_time: float
    scalars: list[tuple[str, float]]
    vectors: dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class _Block:
    """Rows with a copy of the rings; `ready` tells when an asynchronous copy has arrived."""

    rows: list[Row]
    scalars: Tensor
    vectors: dict[str, Tensor]
    ready: torch.cuda.Event | None

    def values(self) -> list[StepValues]:
        """The rows' values; waits for the copy (on the writer's thread)."""
        if self.ready is not None:
            self.ready.synchronize()
        scalars = self.scalars.numpy()
        vectors = {name: ring.numpy() for name, ring in self.vectors.items()}
        return [
            StepValues(
                row.step,
                row.wall_time,
                [(name, self._mean(row, name, scalars)) for name in row.weights],
                {name: vectors[name][row.slot] for name in row.vectors},
            )
            for row in self.rows
        ]

    @staticmethod
    def _mean(row: Row, name: str, scalars: NDArray[np.float32]) -> float:
        on_device = float(scalars[row.slot, row.columns[name]]) if name in row.columns else 0.0
        return (row.sums.get(name, 0.0) + on_device) / row.weights[name]


class Stream:
    """Takes values during training and writes them in the background.

    `observe` is called on the writer's thread with the values of each flush. Opening raises `OSError`
    where `directory` cannot be written; nothing raises afterwards.
    """

    def __init__(
        self,
        directory: Path,
        device: torch.device,
        layers: int,
        observe: Callable[[list[StepValues]], None],
    ) -> None:
        self._writer = Writer(EventFile(directory), observe)
        self._device = device
        self._layers = layers
        self._scalars = torch.zeros(ROWS, SCALARS, device=device)
        self._vectors: dict[str, Tensor] = {}
        self._columns: dict[str, int] = {}
        self._pending: dict[int, Row] = {}
        self._free = deque(range(ROWS))
        self._flushed_at = time.monotonic()

    def add(self, step: int, name: str, value: Tensor | float, weight: float = 1.0) -> None:
        """Add a scalar to `step`; what one step gets several times is averaged by weight."""
        row = self._row(step)
        row.weights[name] = row.weights.get(name, 0.0) + weight
        if isinstance(value, Tensor) and value.device == self._device:
            self._add_on_device(row, name, value.detach(), weight)
        else:
            row.sums[name] = row.sums.get(name, 0.0) + float(value) * weight

    def vector(self, step: int, name: str) -> Tensor:
        """The row of `step` for a per-layer signal, of shape (layers,), to be filled in place; NaN at first."""
        row = self._row(step)
        if name not in self._vectors:
            self._vectors[name] = torch.full((ROWS, self._layers), torch.nan, device=self._device)
        if name not in row.vectors:
            row.vectors.append(name)
            self._vectors[name][row.slot].fill_(torch.nan)
        return self._vectors[name][row.slot]

    def describe(self, setup_json: str) -> None:
        """Write the set-up; a later one replaces an earlier."""
        self._writer.put_setup(setup_json, time.time())

    def step_done(self, current: int) -> None:
        """Tell that all steps before `current` are complete; flushes when it is time."""
        if len(self._pending) >= FLUSH_ROWS or time.monotonic() - self._flushed_at >= FLUSH_S:
            self.flush(before=current)

    def flush(self, before: int | None = None) -> None:
        """Hand all rows, or those of steps before `before`, to the writer; returns at once."""
        rows = [row for step, row in self._pending.items() if before is None or step < before]
        self._flushed_at = time.monotonic()
        if not rows:
            return
        for row in rows:
            del self._pending[row.step]
            self._free.append(row.slot)  # used again last, so that the rings keep the latest steps
        self._writer.put(self._copied(rows))

    def close(self) -> None:
        """Flush everything, wait for the writer to finish, and close the file; safe to call twice."""
        if self._writer.open:
            self.flush()
            self._writer.close()

    def _row(self, step: int) -> Row:
        row = self._pending.get(step)
        if row is None:
            if not self._free:
                self.flush()
            row = self._pending[step] = Row(step, self._free.popleft(), time.time())
        return row

    def _add_on_device(self, row: Row, name: str, value: Tensor, weight: float) -> None:
        if name not in self._columns:
            self._columns[name] = len(self._columns)
            if len(self._columns) > self._scalars.shape[1]:
                self._scalars = torch.cat([self._scalars, torch.zeros_like(self._scalars)], dim=1)
        column = self._columns[name]
        place = self._scalars[row.slot, column]
        if name not in row.columns:
            row.columns[name] = column
            place.zero_()
        place.add_(value, alpha=weight)

    def _copied(self, rows: list[Row]) -> _Block:
        names = {name for row in rows for name in row.vectors}
        scalars, vectors = _on_host(self._scalars), {name: _on_host(self._vectors[name]) for name in names}
        ready = torch.cuda.Event() if self._device.type == "cuda" else None  # type: ignore[no-untyped-call]
        if ready is not None:
            ready.record()
        return _Block(rows, scalars, vectors, ready)


def _on_host(ring: Tensor) -> Tensor:
    """A copy of the whole ring, asynchronous where it can be: picking rows would need an index on the device."""
    if ring.device.type == "cuda":
        return torch.empty(ring.shape, dtype=ring.dtype, pin_memory=True).copy_(ring, non_blocking=True)
    return ring.clone() if ring.device.type == "cpu" else ring.cpu()


class Writer:
    """The background thread that turns blocks into events.

    When the disk fails it goes on taking blocks and drops them: `dropped` counts the rows, and one
    warning says so. A full queue drops as well, rather than hold up training.
    """

    def __init__(self, file: EventFile, observe: Callable[[list[StepValues]], None]) -> None:
        self.dropped = 0
        self.open = True
        self._file = file
        self._observe = observe
        self._failed = False
        self._last_step = 0
        self._process = os.getpid()
        self._queue: queue.Queue[_Block | tuple[str, float] | None] = queue.Queue(QUEUED_BLOCKS)
        self._thread = threading.Thread(target=self._work, name="diagnose-writer", daemon=True)
        self._thread.start()

    def put_setup(self, setup_json: str, wall_time: float) -> None:
        """Queue the set-up."""
        self._queue.put_nowait((setup_json, wall_time))

    def put(self, block: _Block) -> None:
        """Queue a block, or count its rows as dropped."""
        try:
            self._queue.put_nowait(block)
        except queue.Full:
            self._drop(len(block.rows), "the disk is slower than the training")

    def close(self) -> None:
        """Write what is queued and close the file; returns after at most half a minute."""
        self.open = False
        if self._process != os.getpid():
            return  # a forked child has neither the thread nor the right to write
        try:
            self._queue.put(None, timeout=CLOSE_TIMEOUT_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_TIMEOUT_S)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, tuple):
                self._try(partial(self._file.write_setup, *item), rows=0)
                continue
            steps = item.values()
            self._try(partial(self._write, steps), rows=len(steps))
            self._observe(steps)
        self._try(self._finish, rows=0)

    def _write(self, steps: list[StepValues]) -> None:
        for values in steps:
            self._last_step = max(self._last_step, values.step)
            self._file.write_step(values.step, values.wall_time, values.scalars, values.vectors)
        self._file.flush()

    def _finish(self) -> None:
        ending = [(layout.CLOSED_TAG, 1.0)]
        if self.dropped:
            ending.append((layout.DROPPED_TAG, float(self.dropped)))
        self._file.write_step(self._last_step, time.time(), ending, {})
        self._file.close()

    def _try(self, write: Callable[[], None], rows: int) -> None:
        if self._failed:
            self.dropped += rows
            return
        try:
            write()
        except OSError as error:
            self._failed = True
            self._drop(rows, f"the log cannot be written ({error.strerror})")

    def _drop(self, rows: int, why: str) -> None:
        if not self.dropped:
            logger.warning("diagnose: steps are missing from the log, because %s.", why)
        self.dropped += rows
