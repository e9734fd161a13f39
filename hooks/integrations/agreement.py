"""Ranks that stop together: one that stopped alone would keep the others waiting for ever."""

from __future__ import annotations

import torch
import torch.distributed as dist

EVERY = 50  # steps between two times that the ranks ask each other


def agreed(wanted: bool, step: int, device: torch.device) -> bool:  # noqa: FBT001  what is asked
    """Whether any rank wants to stop at `step`; asked by all of them, on the device that they talk over."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return wanted
    if step % EVERY:
        return False
    voices = torch.tensor(float(wanted), device=device)
    dist.all_reduce(voices, dist.ReduceOp.MAX)
    return bool(voices)
