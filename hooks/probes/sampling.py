"""A bounded, even sample of many tensors as one flat vector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MOST_VALUES = 4096  # of one tensor: its norm is then known to about one or two per cent


class FlatSample:
    """Every k-th value of each tensor, k as small as keeps at most MOST_VALUES of it; small tensors whole.

    `shares` holds for each tensor how many of its values one sampled value stands for, so that its squared
    norm is about the squared norm of its sample times its share.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        sizes = [t.numel() * (2 if t.is_complex() else 1) for t in tensors]
        self._strides = [-(-size // MOST_VALUES) or 1 for size in sizes]
        self._counts = [-(-size // k) for size, k in zip(sizes, self._strides, strict=True)]
        self.shares: NDArray[np.float64] = np.array(
            [size / max(count, 1) for size, count in zip(sizes, self._counts, strict=True)]
        )

    def take(self, tensors: Sequence[Tensor]) -> Tensor:
        """The sample of `tensors`, which have the shapes of those it was made for, as a float32 copy."""
        return torch.cat([self.take_one(place, tensor) for place, tensor in enumerate(tensors)]).float()

    def take_one(self, place: int, tensor: Tensor) -> Tensor:
        """A view of the sample of one tensor, the `place`-th."""
        return _in_memory_order(tensor)[:: self._strides[place]]

    def norms(self, sample: Tensor) -> list[Tensor]:
        """The 2-norm of each tensor's part of a sample, as float32 scalars."""
        return list(torch._foreach_norm(list(torch.split(sample, self._counts)), 2))


def _in_memory_order(tensor: Tensor) -> Tensor:
    """The tensor's values as one dimension; without a copy where they lie densely, in whichever order.

    A complex one counts as its real and imaginary parts.
    """
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.detach().resolve_conj())
    if tensor.is_contiguous():
        return tensor.detach().view(-1)
    if torch._prims_common.is_non_overlapping_and_dense_or_false(tensor):
        return tensor.detach().as_strided((tensor.numel(),), (1,))
    return tensor.detach().flatten()
