"""The gradient noise scale: how large a batch the gradient's signal would reward."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from diagnose.hooks.layers import LayerTable, batch_of, is_compiled, shares_unseen
from diagnose.hooks.probes.micro_batches import Mark, MicroBatches, mark_of
from diagnose.hooks.probes.sampling import FlatSample
from diagnose.hooks.stream import Channel, Signals, Stream

MEMORY = 20  # pairs whose averages make one estimate: a single pair is very noisy
MARKED = 3  # parameters whose gradients tell of a backward pass
ZERO_COUNTS = 5  # a part without any gradient, where the whole has one, as so many of negative product

MICRO_BATCHES, RANKS, CONSECUTIVE = "micro-batches", "ranks", "consecutive steps"


class NoiseProbe:
    """B_simple = tr(Σ) / ‖G‖² (McCandlish et al. 2018) from two independent estimates of one gradient.

    With a of batch m and b of batch n, ‖a − b‖² estimates tr(Σ)·(1/m + 1/n) and a · b estimates ‖G‖².
    Under accumulation, a is the first micro-batch and b the others; under DDP, a is this rank's gradient
    before it is averaged and b the other ranks'; else the two are consecutive steps' gradients, whose
    distance at high rates holds more than noise, so that the estimate is then too large. Both products are
    taken over a bounded sample of each gradient and averaged over the last pairs before they are divided.
    Where other ranks may take part in the gradient unseen, nothing is known and nothing written.
    """

    def __init__(
        self, layers: LayerTable, stream: Stream, model: nn.Module, ranks: int, told: Callable[[str], None]
    ) -> None:
        self._layers = layers
        self._stream = stream
        self._model = model
        self._ranks = ranks
        self._local_seen = ranks > 1 and not is_compiled(model)  # a compiled graph would take our hooks in
        self._told = told  # is told which source the estimate has
        self._source = ""
        self._parts = MicroBatches()
        self._parts_agree = True  # until the log's side finds that they estimate no common gradient
        self._changed: tuple[int, ...] | None = None  # parameters, others than those compared, at the last look
        self._consecutive: tuple[Tensor, float] | None = None  # the sample of a pair's first step, and its batch
        self._first_part: Tensor | None = None
        self._local: dict[int, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        self._compare_these([])

    @property
    def waits_for_second(self) -> bool:
        """Whether a pair's first step was seen and its second comes now."""
        return self._consecutive is not None

    @property
    def counting(self) -> bool:
        """Whether the open step's forward passes are to be told."""
        return self._parts.counting

    def begin(self) -> None:
        """A step that is looked at, or a pair's second, begins: catch what its parts give."""
        self._let_go()
        self._parts.begin(self._mark())
        if self._local_seen and self._consecutive is None:
            for place, parameter in enumerate(self._parameters):
                take = partial(self._take_local, self._sample, place)
                self._handles.append(parameter.register_hook(take))  # type: ignore[no-untyped-call]

    def next_forward(self) -> None:
        """Another forward pass begins: if one went backward before it, the gradients are the first micro-batch's."""
        before = self._parts.count
        self._parts.look(self._mark())
        if self._parts.count == 0:
            self._first_part = None
        elif before == 0 and self._ranks == 1 and self._parts_agree and self._consecutive is None:
            gradients = [p.grad for p in self._parameters if p.grad is not None and not p.grad.is_sparse]
            if len(gradients) == len(self._parameters):
                self._first_part = self._sample.take(gradients)

    def saw_forward(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        """A forward pass in training is complete."""
        batch = batch_of(arguments, keywords)
        self._parts.saw_forward(len(batch) if batch is not None and batch.dim() else 0)

    def measure(self, step: int, *, told_batch: float | None, altered: bool) -> None:
        """Write the pair that this step's parts give, or keep the step as the first of two.

        `told_batch` stands in where no forward pass shows the step's batch; `altered` says that the gradients
        are no longer what was accumulated: clipped, or rescaled.
        """
        self._parts.end(self._mark())
        self._parts_agree = self._parts_agree and not self._averages.refuted
        gradients = None if shares_unseen(self._model) else self._gradients()
        first_part, local, first_step = self._first_part, self._local, self._consecutive
        self._let_go()
        self._consecutive = None
        if not gradients:
            return
        whole, count = self._sample.take(gradients), self._parts.count
        samples = float((self._parts.samples if self._parts_agree else self._parts.largest) or told_batch or math.nan)
        if first_step is not None:
            self._write(step, CONSECUTIVE, first_step[0], whole, _weight(first_step[1], samples * self._ranks))
        elif first_part is not None and count > 1 and self._parts_agree and not altered:
            a, b = _part_and_rest(first_part, whole, count)
            self._write(step, MICRO_BATCHES, a, b, _weight(samples / count, samples * (count - 1) / count))
        elif len(local) == len(gradients) and count == 1 and not altered:
            part = torch.cat([local[place] for place in range(len(local))]) / self._ranks
            a, b = _part_and_rest(part, whole, self._ranks)
            self._write(step, RANKS, a, b, _weight(samples, samples * (self._ranks - 1)))
        else:
            self._consecutive = whole, samples * self._ranks

    def forget(self) -> None:
        """Let go of all that is held, and of the hooks that catch it."""
        self._let_go()
        self._parts.forget()
        self._consecutive = None

    def _let_go(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._local, self._first_part = [], {}, None

    def _write(self, step: int, source: str, a: Tensor, b: Tensor, weight: float) -> None:
        """`weight` is 1 / (1/m + 1/n) for batches m and n."""
        row = self._stream.row(step, self._parts_channel if source == MICRO_BATCHES else self._channel)
        torch.stack([self._norm(a - b), self._norm(a + b), torch.full((), weight, device=row.device)], out=row)
        if source != self._source:
            self._source = source
            self._told(source)

    def _norm(self, sample: Tensor) -> Tensor:
        """The whole gradient's 2-norm as its sample tells it."""
        norms = self._sample.norms(sample)
        torch._foreach_mul_(norms, self._roots)
        total: Tensor = torch.linalg.vector_norm(torch.stack(norms))
        return total

    def _take_local(self, sample: FlatSample, place: int, gradient: Tensor) -> None:
        # A copy: the averaging writes into the same memory.
        self._local[place] = sample.take_one(place, gradient).to(torch.float32, copy=True)

    def _mark(self) -> Mark:
        if not self._parameters:
            self._compare_these(self._with_gradients())
        return mark_of(self._marked)

    def _with_gradients(self) -> list[nn.Parameter]:
        owned = self._layers.parameters
        return [p for p in owned if p.requires_grad and p.grad is not None and not p.grad.is_sparse]

    def _gradients(self) -> list[Tensor] | None:
        """The compared parameters' gradients; None where not just these have any: two could not be compared.

        Once the same others are found twice in succession, it is they that are compared.
        """
        present = self._with_gradients()
        found = tuple(sorted(id(p) for p in present))
        if found == self._compared:
            self._changed = None
        elif not found or found != self._changed:
            self._changed = found
            return None
        else:
            self._compare_these(present)
        return [p.grad for p in self._parameters if p.grad is not None]

    def _compare_these(self, parameters: list[nn.Parameter]) -> None:
        """From now on these are compared, and averages are taken anew."""
        self._parameters = parameters
        self._compared = tuple(sorted(id(p) for p in parameters))
        self._changed = None
        self._marked = sorted(parameters, key=Tensor.numel)[:MARKED]  # the smallest: their gradients are held
        self._sample = FlatSample(parameters)
        self._roots = np.sqrt(self._sample.shares).tolist()
        self._averages = _Averages()
        self._channel = Channel("noise", 3, _Averages().decode)
        self._parts_channel = Channel("noise of parts", 3, self._averages.decode)
        self._first_part, self._local, self._consecutive = None, {}, None


def _weight(m: float, n: float) -> float:
    return m * n / (m + n)


def _part_and_rest(part: Tensor, whole: Tensor, parts: int) -> tuple[Tensor, Tensor]:
    """Two estimates of `whole`: from `part`, one of its `parts` equal summands, and from the others."""
    return part * parts, (whole - part) * (parts / (parts - 1))


class _Averages:
    """The last pairs' products; lives on the writer's thread.

    Two estimates of one gradient have as often a positive product as not, and ever more often the less noise
    there is. Where as many as MEMORY in a row have none, they are of different losses (a critic's real and
    false samples), or one was cleared before the other came: they are `refuted`, and say nothing any more.
    """

    def __init__(self) -> None:
        self.refuted = False
        self._against = 0
        self._pairs: deque[tuple[float, float]] = deque(maxlen=MEMORY)

    def decode(self, rows: NDArray[np.float32]) -> Signals:
        """`noise_scale` in samples; masked while the averaged ‖G‖² is not positive: no noise scale explains that."""
        return {"noise_scale": np.ma.masked_invalid([self._estimate(row) for row in rows.astype(np.float64)])}

    def _estimate(self, row: NDArray[np.float64]) -> float:
        difference, total, weight = row[0] ** 2, row[1] ** 2, row[2]
        if np.isfinite(difference) and np.isfinite(total):
            product = (total - difference) / 4  # a · b = (‖a+b‖² − ‖a−b‖²) / 4
            self._weigh(product, alone=product == 0 and difference > 0)
            if product != 0 or difference == 0:  # else one of the two is all zero, and no estimate
                self._pairs.append((difference * weight, product))
        trace, norm = np.mean(self._pairs, axis=0) if self._pairs else (np.nan, np.nan)
        return float(trace / norm) if norm > 0 and not self.refuted else np.nan

    def _weigh(self, product: float, *, alone: bool) -> None:
        if product > 0:
            self._against = 0
        elif product < 0 or alone:
            self._against += ZERO_COUNTS if alone else 1
            self.refuted |= self._against >= MEMORY
