"""The gradient noise scale: how large a batch the gradient's signal would reward."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diagnose.hooks.layers import LayerTable
from diagnose.hooks.probes.sampling import FlatSample
from diagnose.hooks.stream import Channel, Signals, Stream

MEMORY = 20  # pairs of steps whose averages make one estimate: a single pair is very noisy


class NoiseProbe:
    """B_simple = tr(Σ) / ‖G‖² (McCandlish et al. 2018) from the gradients of two consecutive steps.

    Two steps see independent batches and nearly the same weights: half of ‖g₁ − g₂‖² estimates
    tr(Σ) / B, and g₁ · g₂ estimates ‖G‖². Both are taken over a bounded sample of each gradient and
    averaged over the last pairs before they are divided. High rates make consecutive gradients differ
    by more than noise: the estimate is then too large.
    """

    def __init__(self, layers: LayerTable, stream: Stream, batch_size: Callable[[], float]) -> None:
        self._parameters = layers.parameters
        self._stream = stream
        self._batch_size = batch_size
        self._channel = Channel("noise", 3, _Averages().decode)
        self._sample: FlatSample | None = None
        self._first: Tensor | None = None

    @property
    def waits_for_second(self) -> bool:
        """Whether a pair's first step was seen and its second comes now."""
        return self._first is not None

    def first(self) -> None:
        """Keep the sample of the gradients of a pair's first step."""
        gradients = self._gradients()
        if gradients is None:
            return
        if self._sample is None:
            self._sample = FlatSample(self._parameters, [0] * len(self._parameters))
        self._first = self._sample.take(gradients)

    def second(self, step: int) -> None:
        """Write the pair's two products at its second step."""
        first, self._first = self._first, None
        gradients = self._gradients()
        if first is None or gradients is None or self._sample is None:
            return
        second = self._sample.take(gradients)
        weighted = first * self._sample.weights
        row = self._stream.row(step, self._channel)
        difference = first - second
        torch.stack(
            (
                torch.dot(difference, difference * self._sample.weights) / 2,
                torch.dot(weighted, second),
                torch.full((), self._batch_size(), device=row.device),
            ),
            out=row,
        )

    def _gradients(self) -> list[Tensor] | None:
        """All parameters' gradients; None where one is missing or sparse: the two steps could not be compared."""
        gradients = [p.grad for p in self._parameters]
        dense = [g for g in gradients if g is not None and not g.is_sparse]
        return dense if len(dense) == len(gradients) else None


class _Averages:
    """The last pairs' products; lives on the writer's thread."""

    def __init__(self) -> None:
        self._pairs: deque[tuple[float, float]] = deque(maxlen=MEMORY)

    def decode(self, rows: NDArray[np.float32]) -> Signals:
        """`noise_scale` in samples; NaN while the averaged ‖G‖² is not positive, which no noise scale explains."""
        return {"noise_scale": np.array([self._estimate(*map(float, row)) for row in rows])}

    def _estimate(self, noise: float, signal: float, batch: float) -> float:
        if np.isfinite(noise) and np.isfinite(signal):
            self._pairs.append((noise * batch, signal))
        trace, norm = np.mean(self._pairs, axis=0) if self._pairs else (np.nan, np.nan)
        return float(trace / norm) if norm > 0 else np.nan
