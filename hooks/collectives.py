"""Nothing that other ranks would have to answer is launched while a model runs beside its training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

NAMESPACES = frozenset(
    {"c10d", "_c10d_functional", "_c10d_functional_autograd", "c10d_functional", "_dtensor", "symm_mem"}
)


class UnavailableError(Exception):
    """What was to be had from running the model once more cannot be had; the message says why."""


def has_other_ranks() -> bool:
    """Whether other processes train beside this one, and have met it."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@contextmanager
def no_collectives() -> Iterator[None]:
    """Whatever would communicate with other ranks raises `UnavailableError` instead, and so does the end then.

    Ranks look when they like: a collective that one of them launched here would meet another one of the
    others' training. Backward passes within are watched too. Without other ranks nothing is watched.
    """
    if not has_other_ranks():
        yield
        return
    refusal = _Refusal()
    batches = set(_open_batches())
    try:
        with refusal:
            yield
    finally:
        if refusal.refused:
            _leave_batches(batches, refusal.device)
    if refusal.refused:
        raise UnavailableError(refusal.reason)  # the model had caught ours: what it gave is not what it gives


class _Refusal(TorchDispatchMode):
    """Sees every operator and lets those pass that stay on this rank."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.refused = ""
        self.device = torch.device("cpu")

    @property
    def reason(self) -> str:
        """What was refused, for a warning."""
        return f"run once more, the model would communicate with other ranks ({self.refused})"

    def __torch_dispatch__(
        self, operator: Any, _types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        if getattr(operator, "namespace", "") in NAMESPACES:
            self.refused = str(operator)
            tensors = (leaf for leaf in tree_leaves((arguments, keywords)) if isinstance(leaf, torch.Tensor))
            self.device = next((tensor.device for tensor in tensors), self.device)
            raise UnavailableError(self.reason)
        return operator(*arguments, **(keywords or {}))


def _open_batches() -> dict[Any, Any]:
    """The groups whose collectives are being gathered, to be launched together."""
    return getattr(dist.distributed_c10d._world, "pg_coalesce_state", {})


def _leave_batches(before: set[Any], device: torch.device) -> None:
    """Close what an operator refused has left open: torch would go on gathering what training launches."""
    for group in [group for group in _open_batches() if group not in before]:
        del _open_batches()[group]
        with suppress(RuntimeError):  # where the backend itself had not begun to gather
            group._end_coalescing(device)
