"""From the device to the event log without the training waiting.

Each step has a row. Numbers known on the host stay there; scalars on the device are kept as they are;
what probes measure goes into rings on the device, one per channel. A flush copies all of it out
asynchronously and hands it to the writer's thread, which also does whatever arithmetic is left: the
training's thread only launches what must run on the device.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diagnose.endings import Ending
from diagnose.hooks.ending import Witness
from diagnose.hooks.writer import StepValues, writer_for

if TYPE_CHECKING:
    from diagnose.hooks.mirror import Mirror

logger = logging.getLogger("diagnose")

ROWS = 128  # rows that the rings hold: the black box of the last steps
FLUSH_ROWS = 50
FLUSH_S = 1.0
MOST_INDICES = 100  # a model whose parts run by turns asks for a few, one with no end of them for ever new ones

# name -> values by row: scalars of shape (rows,), masked where there is none; vectors of shape (rows, layers)
Signals = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Channel:
    """What one probe writes each time it looks: `width` numbers, decoded into signals in the background.

    `decode` takes a float32 matrix of shape (rows, width).
    """

    name: str
    width: int
    decode: Callable[[NDArray[np.float32]], Signals]


class _Row:
    """One step's values before they are written; made anew at each step, and so kept bare."""

    __slots__ = ("channels", "scalars", "slot", "step", "sums", "tensors", "wall_time")

    def __init__(self, step: int, slot: int) -> None:
        self.step = step
        self.slot = slot
        self.wall_time = time.time()
        self.scalars: dict[str, tuple[float, float]] = {}  # name -> sum of value times weight, sum of weights
        self.tensors: list[tuple[str, float, Tensor]] = []  # name, weight, a copy of the scalar
        self.channels: list[Channel] = []
        self.sums: tuple[str, ...] = ()  # the scalars whose values are parts of a whole

    def add(self, name: str, value: float, weight: float) -> None:
        """Add a value known on the host."""
        total, weights = self.scalars.get(name, (0.0, 0.0))
        self.scalars[name] = total + value * weight, weights + weight

    def value(self, name: str) -> float | None:
        """What the host's values of a scalar come to: their mean or, of parts, their sum; None where there is none."""
        total, weights = self.scalars.get(name, (0.0, 0.0))
        return total if name in self.sums else total / weights if weights else None


@dataclass(frozen=True)
class _Block:
    """Rows with copies of their tensors and of the rings; `ready` tells when an asynchronous copy has arrived."""

    rows: list[_Row]
    tensors: Tensor | None
    rings: dict[Channel, Tensor]
    ready: torch.cuda.Event | None

    def __len__(self) -> int:
        return len(self.rows)

    def values(self) -> list[StepValues]:
        """The rows' values; waits for the copy (on the writer's thread)."""
        if self.ready is not None:
            self.ready.synchronize()
        self._add_tensors()
        values = [
            StepValues(row.step, row.wall_time, [(n, _number(row.value(n))) for n in row.scalars], {})
            for row in self.rows
        ]
        for channel, ring in self.rings.items():
            self._decode(channel, ring.numpy(), values)
            time.sleep(0)  # lets go of the interpreter's lock
        return values

    def _add_tensors(self) -> None:
        numbers = iter(self.tensors.tolist() if self.tensors is not None else ())
        for row in self.rows:
            for name, weight, _ in row.tensors:
                row.add(name, next(numbers), weight)

    def _decode(self, channel: Channel, ring: NDArray[np.float32], values: list[StepValues]) -> None:
        places = [place for place, row in enumerate(self.rows) if channel in row.channels]
        for name, numbers in channel.decode(ring[[self.rows[place].slot for place in places]]).items():
            for place, number in zip(places, numbers, strict=True):
                if numbers.ndim > 1:
                    values[place].vectors[name] = number
                elif number is not np.ma.masked:
                    values[place].scalars.append((name, float(number)))


class Stream:
    """Takes values during training and writes them in the background.

    `observe` is called on the writer's thread with the values of each flush. Opening raises `OSError`
    where `directory` cannot be written; nothing raises afterwards. A `mirror` copies it to where it belongs.
    """

    def __init__(
        self, directory: Path, observe: Callable[[list[StepValues]], None], mirror: Mirror | None = None
    ) -> None:
        self._writer = writer_for(directory, observe, mirror)
        self._device = torch.device("cpu")
        self._on_device = False  # whether that is another than the host
        self._rings: dict[Channel, Tensor] = {}
        self._places: dict[Channel, tuple[Tensor, ...]] = {}
        self._indices: dict[tuple[int, ...], Tensor] = {}
        self._pending: dict[int, _Row] = {}
        self._free = deque(range(ROWS))
        self._flushed_at = time.monotonic()
        self._process = os.getpid()
        self._witness = Witness()

    def place_on(self, device: torch.device) -> None:
        """Keep what is measured on `device` until it is flushed; told before the first step."""
        self._device, self._on_device = device, device.type != "cpu"

    def add(self, step: int, name: str, value: Tensor | float, weight: float = 1.0) -> None:
        """Add a scalar to `step`; what one step gets several times is averaged by weight."""
        row = self._pending.get(step) or self._row(step)
        if isinstance(value, Tensor) and self._on_device and not value.is_cpu:
            # A copy: the user may change the tensor in place, a CUDA graph will.
            copy = value.detach().reshape(()).to(self._device, torch.float32, non_blocking=True, copy=True)
            row.tensors.append((name, weight, copy))
        elif name in row.scalars:
            row.add(name, float(value), weight)
        else:
            row.scalars[name] = float(value) * weight, weight

    def add_part(self, step: int, name: str, value: Tensor | float) -> None:
        """Add a part of a scalar of `step`, which its parts make up by their sum."""
        self.add(step, name, value)
        self._pending[step].sums = (name,)

    def latest(self, step: int, name: str) -> Tensor | float | None:
        """What was last added to a scalar of `step`, where that is not written yet: a mean of all on the CPU."""
        row = self._pending.get(step)
        if row is None:
            return None
        for known, _, tensor in reversed(row.tensors):
            if known == name:
                return tensor
        return row.value(name)

    def row(self, step: int, channel: Channel) -> Tensor:
        """The channel's row of `step`, of shape (width,), to be filled in place: it holds an older step's values."""
        row = self._row(step)
        if channel not in self._rings:
            self._rings[channel] = ring = torch.zeros(ROWS, channel.width, device=self._device)
            self._places[channel] = ring.unbind()  # indexing a tensor costs more than the rest of this
        if channel not in row.channels:
            row.channels.append(channel)
        return self._places[channel][row.slot]

    def index(self, places: Iterable[int]) -> Tensor:
        """`places` as an index on the device of the rows, got there without waiting; kept for next time."""
        key = tuple(places)
        if key not in self._indices:
            if len(self._indices) >= MOST_INDICES:
                self._indices.clear()
            host = torch.tensor(key, dtype=torch.int64, pin_memory=self._device.type == "cuda")
            self._indices[key] = host.to(self._device, non_blocking=True)
        return self._indices[key]

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
        if not rows:
            return
        elapsed, self._flushed_at = time.monotonic() - self._flushed_at, time.monotonic()
        if before is not None and elapsed > 0:
            rows[-1].add("throughput", len(rows) / elapsed, 1.0)
        for row in rows:
            del self._pending[row.step]
            self._free.append(row.slot)  # used again last, so that the rings keep the latest steps
        self._writer.put(self._block(rows))

    @property
    def is_of_this_process(self) -> bool:
        """Whether it was opened here, and not in a parent that this process was forked from."""
        return self._process == os.getpid()

    def end(self, error: BaseException | None = None) -> None:
        """Close, on behalf of who trains, by that error or by one that is on its way."""
        self.close(self._witness.ending(error))

    def close(self, ending: Ending | None = None) -> None:
        """Flush everything, wait for the writer to finish, and close the file; safe to call twice.

        Without a told `ending` the interpreter is asked for an error that nobody caught.
        Does nothing in a forked child (a data loader's worker), which has neither the writer's thread nor,
        it may be, a lock that is ever let go.
        """
        if self.is_of_this_process:
            if self._writer.open:
                try:
                    self.flush()
                except Exception as error:  # noqa: BLE001  a device that has failed gives nothing back
                    logger.warning(
                        "diagnose: the last steps are missing from the log: %s: %s", type(error).__name__, error
                    )
            self._writer.close(ending or self._witness.at_exit())  # a second call waits for the first one's end

    def _row(self, step: int) -> _Row:
        row = self._pending.get(step)
        if row is None:
            if not self._free:
                self.flush()
            row = self._pending[step] = _Row(step, self._free.popleft())
        return row

    def _block(self, rows: list[_Row]) -> _Block:
        tensors = [tensor for row in rows for _, _, tensor in row.tensors]
        stacked = _on_host(torch.stack(tensors)) if tensors else None
        # Whole rings in one copy each: picking rows on the device would need an index there first.
        used = dict.fromkeys(channel for row in rows for channel in row.channels)
        rings = {channel: _on_host(self._rings[channel]) for channel in used}
        ready = torch.cuda.Event() if self._device.type == "cuda" else None  # type: ignore[no-untyped-call]
        if ready is not None:
            ready.record()
        return _Block(rows, stacked, rings, ready)


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _on_host(values: Tensor) -> Tensor:
    """A copy on the host; into pinned memory and asynchronous where the device can."""
    if values.device.type == "cuda":
        return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)
    return values.clone() if values.device.type == "cpu" else values.cpu()
