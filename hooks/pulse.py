"""Each step's loss and gradient norm, read back without waiting: how training's own thread learns of trouble."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

LEARNING = 20  # values before a band is known
MEMORY = 0.05  # weight of the newest value in the band's running means
WIDTH = 6.0  # mean deviations from the mean of the logarithm: noise alone stays within
LEAST = math.log(2.0)  # and a factor of two at least


class Beat(NamedTuple):
    """One step's numbers on the host."""

    step: int
    loss: float | None  # None where none was known by the time the optimizer stepped
    grad_norm: float

    @property
    def broken(self) -> bool:
        """Whether the loss or the gradient norm is no finite number."""
        return not (math.isfinite(self.grad_norm) and (self.loss is None or math.isfinite(self.loss)))


class Pulse:
    """Beats arrive at once on the CPU, and some steps later from a device that computes on its own."""

    def __init__(self) -> None:
        self._under_way: deque[tuple[int, bool, Tensor, torch.cuda.Event]] = deque()

    def send(self, step: int, loss: Tensor | float | None, norms: Tensor) -> list[Beat]:
        """Start a step's beat, and return all that have arrived meanwhile, in the order of steps.

        `norms` are the 2-norms of the step's gradients, of shape (parameters,), on their device.
        """
        if norms.device.type == "cpu":
            return [Beat(step, None if loss is None else float(loss), math.hypot(*norms.tolist()))]
        if norms.device.type != "cuda":  # no events to ask there, and asking the device itself would wait
            return []
        total = torch.linalg.vector_norm(norms)
        known = loss if isinstance(loss, Tensor) else torch.full_like(total, math.nan if loss is None else loss)
        pair = torch.stack((known, total))
        host = torch.empty(2, pin_memory=True).copy_(pair, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._under_way.append((step, loss is not None, host, event))
        return list(self._arrived())

    def _arrived(self) -> Iterator[Beat]:
        while self._under_way and self._under_way[0][3].query():  # type: ignore[no-untyped-call]
            step, known, host, _ = self._under_way.popleft()
            loss, norm = host.tolist()
            yield Beat(step, loss if known else None, norm)


@dataclass
class Band:
    """Where a positive quantity has been of late, on a logarithmic scale; robust enough to tell an outlier."""

    _mean: float = 0.0
    _deviation: float = 0.0
    _seen: int = 0

    def leaves(self, value: float) -> bool:
        """Whether `value` lies above the band; it becomes part of it all the same, clipped to its edge."""
        if not value > 0:
            return False
        at = math.log(value)
        if self._seen == 0:
            self._mean = at
        edge = max(WIDTH * self._deviation, LEAST)
        above = self._seen >= LEARNING and at - self._mean > edge
        away = min(max(at - self._mean, -edge), edge)
        weight = max(MEMORY, 1 / (self._seen + 1))
        self._mean += weight * away
        self._deviation += weight * (abs(away) - self._deviation)
        self._seen += 1
        return above
