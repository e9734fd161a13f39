"""The gradient noise scale: how large a batch the gradient's signal would reward."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from diagnose.hooks.layers import LayerTable
from diagnose.hooks.probes.sampling import FlatSample
from diagnose.hooks.stream import Channel, Signals, Stream

MEMORY = 20  # pairs whose averages make one estimate: a single pair is very noisy

MICRO_BATCHES, RANKS, CONSECUTIVE = "micro-batches", "ranks", "consecutive steps"


class NoiseProbe:
    """B_simple = tr(Σ) / ‖G‖² (McCandlish et al. 2018) from two independent estimates of one gradient.

    With a of batch m and b of batch n, ‖a − b‖² estimates tr(Σ)·(1/m + 1/n) and a · b estimates ‖G‖².
    Under accumulation, a is the first micro-batch and b the others; under DDP, a is this rank's gradient
    before it is averaged and b the other ranks'; else the two are consecutive steps' gradients, whose
    distance at high rates holds more than noise, so that the estimate is then too large. Both products are
    taken over a bounded sample of each gradient and averaged over the last pairs before they are divided.
    """

    def __init__(self, layers: LayerTable, stream: Stream, ranks: int, told: Callable[[str], None]) -> None:
        self._layers = layers
        self._parameters: list[nn.Parameter] = []  # those that have dense gradients at the first look
        self._stream = stream
        self._ranks = ranks
        self._told = told  # is told once which source the estimate has
        self._source = ""
        self._sample: FlatSample | None = None
        self._channel: Channel | None = None
        self._consecutive: Tensor | None = None  # the sample of a pair's first step
        self._first_micro_batch: Tensor | None = None
        self._mark: tuple[int, int] | None = None
        self._local: dict[int, Tensor] = {}
        self._handles: list[RemovableHandle] = []

    @property
    def waits_for_second(self) -> bool:
        """Whether a pair's first step was seen and its second comes now."""
        return self._consecutive is not None

    def begin(self) -> None:
        """A step that is looked at begins: catch what its parts give."""
        self.forget()
        self._mark = self._first_gradients_mark()
        if self._ranks > 1 and self._sample is not None:
            for place, parameter in enumerate(self._parameters):
                take = partial(self._take_local, self._sample, place)
                self._handles.append(parameter.register_hook(take))  # type: ignore[no-untyped-call]

    def second_forward(self) -> None:
        """The second micro-batch begins: the gradients are the first one's, unless nothing went backward yet."""
        gradients = self._gradients()
        if self._ranks == 1 and gradients is not None and self._first_gradients_mark() != self._mark:
            self._first_micro_batch = self._sampled().take(gradients)

    def measure(self, step: int, *, samples: float, micro_batches: int, altered: bool) -> None:
        """Write the pair that this step's parts give, or keep the step as the first of two.

        `samples` is the step's batch; `altered` says that the gradients are no longer what was accumulated:
        clipped, or rescaled.
        """
        first, local = self._first_micro_batch, self._local
        self.forget()
        gradients = self._gradients()
        if gradients is None:
            self._consecutive = None
            return
        whole = self._sampled().take(gradients)
        if self._consecutive is not None:
            first_step, self._consecutive = self._consecutive, None
            self._write(step, CONSECUTIVE, first_step, whole, samples / 2)
        elif first is not None and micro_batches > 1 and not altered:
            a, b = _part_and_rest(first, whole, micro_batches)
            self._write(step, MICRO_BATCHES, a, b, samples * (micro_batches - 1) / micro_batches**2)
        elif len(local) == len(gradients) and micro_batches == 1 and not altered:
            part = torch.cat([local[place] for place in range(len(local))]) / self._ranks
            a, b = _part_and_rest(part, whole, self._ranks)
            self._write(step, RANKS, a, b, samples * (self._ranks - 1) / self._ranks)
        else:
            self._consecutive = whole

    def forget(self) -> None:
        """Let go of what a step's parts gave, and of the hooks that catch it."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._local, self._first_micro_batch = [], {}, None

    def _write(self, step: int, source: str, a: Tensor, b: Tensor, weight: float) -> None:
        """`weight` is 1 / (1/m + 1/n) for batches m and n."""
        sample = self._sampled()
        if self._channel is None:
            decode = _Averages(sample.shares).decode
            self._channel = Channel("noise", 2 * len(sample.shares) + 1, decode)
        row = self._stream.row(step, self._channel)
        torch.stack([*sample.norms(a - b), *sample.norms(a + b), torch.full((), weight, device=row.device)], out=row)
        if source != self._source:
            self._source = source
            self._told(source)

    def _sampled(self) -> FlatSample:
        if self._sample is None:
            self._sample = FlatSample(self._parameters)
        return self._sample

    def _trained(self) -> list[nn.Parameter]:
        """The parameters that are compared: those with dense gradients when this is first asked with any there."""
        if not self._parameters:
            self._parameters = [p for p in self._layers.parameters if p.grad is not None and not p.grad.is_sparse]
        return self._parameters

    def _take_local(self, sample: FlatSample, place: int, gradient: Tensor) -> None:
        # A copy: the averaging writes into the same memory.
        self._local[place] = sample.take_one(place, gradient).to(torch.float32, copy=True)

    def _first_gradients_mark(self) -> tuple[int, int] | None:
        """Changes when a backward pass has added to the gradients."""
        gradient = next((p.grad for p in self._trained()), None)
        return None if gradient is None else (id(gradient), gradient._version)

    def _gradients(self) -> list[Tensor] | None:
        """Their gradients; None where one is missing: two could not be compared."""
        gradients = [p.grad for p in self._trained()]
        dense = [g for g in gradients if g is not None and not g.is_sparse]
        return dense if dense and len(dense) == len(gradients) else None


def _part_and_rest(part: Tensor, whole: Tensor, parts: int) -> tuple[Tensor, Tensor]:
    """Two estimates of `whole`: from `part`, one of its `parts` equal summands, and from the others."""
    return part * parts, (whole - part) * (parts / (parts - 1))


class _Averages:
    """The last pairs' products; lives on the writer's thread."""

    def __init__(self, shares: NDArray[np.float64]) -> None:
        self._shares = shares
        self._pairs: deque[tuple[float, float]] = deque(maxlen=MEMORY)

    def decode(self, rows: NDArray[np.float32]) -> Signals:
        """`noise_scale` in samples; masked while the averaged ‖G‖² is not positive: no noise scale explains that."""
        return {"noise_scale": np.ma.masked_invalid([self._estimate(row.astype(np.float64)) for row in rows])}

    def _estimate(self, row: NDArray[np.float64]) -> float:
        difference, total = (float((part**2 * self._shares).sum()) for part in np.split(row[:-1], 2))
        if np.isfinite(difference) and np.isfinite(total):
            self._pairs.append((difference * row[-1], (total - difference) / 4))  # a · b = (‖a+b‖² − ‖a−b‖²) / 4
        trace, norm = np.mean(self._pairs, axis=0) if self._pairs else (np.nan, np.nan)
        return float(trace / norm) if norm > 0 else np.nan
