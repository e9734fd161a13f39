"""A bounded, even sample of many tensors as one flat vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

MOST_VALUES = 4096  # of one tensor: its norm is then known to about one or two per cent


class FlatSample:
    """Every k-th value of each tensor, k as small as keeps at most MOST_VALUES of it; small tensors whole.

    `weights` holds for each value how many it stands for, `places` the group it belongs to, both of the
    sample's length. A squared norm is `(values² · weights)` summed over a group.
    """

    def __init__(self, tensors: Sequence[Tensor], places: Sequence[int]) -> None:
        device = tensors[0].device
        self._strides = [-(-t.numel() // MOST_VALUES) for t in tensors]
        counts = [-(-t.numel() // max(k, 1)) for t, k in zip(tensors, self._strides, strict=True)]
        repeats = torch.tensor(counts)
        shares = torch.tensor([t.numel() / max(c, 1) for t, c in zip(tensors, counts, strict=True)])
        self.weights = torch.repeat_interleave(shares, repeats).to(device)
        self.places = torch.repeat_interleave(torch.tensor(places), repeats).to(device)

    def take(self, tensors: Sequence[Tensor]) -> Tensor:
        """The sample of `tensors`, which have the shapes of those it was made for, as a float32 copy."""
        views = [_in_memory_order(t)[::k] for t, k in zip(tensors, self._strides, strict=True) if k]
        return torch.cat(views).float()


def _in_memory_order(tensor: Tensor) -> Tensor:
    """The tensor's values as one dimension; without a copy where they lie densely, in whichever order."""
    if tensor.is_contiguous():
        return tensor.detach().view(-1)
    if torch._prims_common.is_non_overlapping_and_dense_or_false(tensor):
        return tensor.detach().as_strided((tensor.numel(),), (1,))
    return tensor.detach().flatten()
