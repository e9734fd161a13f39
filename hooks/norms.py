"""2-norms of many tensors at once, whatever they hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

_UP_TO_FLOAT32: Final = frozenset({torch.float32, torch.float16, torch.bfloat16})


def norms_of(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The 2-norm of each tensor as a float32 scalar, taken in float32 at least; nothing waits for the device.

    A sparse tensor may hold a row several times: only its coalesced values have the right norm. Raises
    `RuntimeError` for integers, which have none.
    """
    if not tensors:
        return []
    usual = [t for t in tensors if t.dtype in _UP_TO_FLOAT32 and t.layout is torch.strided and not t.requires_grad]
    if len(usual) == len(tensors):
        return list(torch._foreach_norm(usual, 2, dtype=torch.float32))
    parts = [_values(tensor) for tensor in tensors]
    if all(part.dtype in _UP_TO_FLOAT32 for part in parts):
        return list(torch._foreach_norm(parts, 2, dtype=torch.float32))
    return [norm.float() for norm in torch._foreach_norm(parts, 2)]


def _values(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()  # gradients of `backward(create_graph=True)` are part of a graph
    dense = tensor.coalesce().values() if tensor.is_sparse else tensor
    return torch.view_as_real(dense.resolve_conj()) if dense.is_complex() else dense
