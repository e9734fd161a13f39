"""Halting as frameworks want it: between two steps, by their own means, and on all ranks at the same step."""

from __future__ import annotations

import logging

import torch
import torch.distributed as dist

from diagnose.errors import TrainingHalted
from diagnose.findings import Finding
from diagnose.hooks.integrations.attaching import Options
from diagnose.hooks.monitor import Monitor

logger = logging.getLogger("diagnose")

EVERY = 50  # steps between two times that the ranks ask each other


class Halt:
    """Of one training: what it is to be halted for, and, once it was, the `reason`."""

    def __init__(self, options: Options) -> None:
        self.reason: TrainingHalted | None = None
        self._asked_for = "halt_on" in options
        self._found: Finding | None = None

    def note(self, finding: Finding) -> None:
        """What the monitor calls in place of raising; the first finding counts."""
        self._found = self._found or finding

    def is_due(self, monitor: Monitor | None, step: int, device: torch.device) -> bool:
        """Whether to stop at `step`, as only rank 0 knows of findings; there the log is closed and the reason told."""
        if not self._asked_for or monitor is None or not _agreed(self._found is not None, step, device):
            return False
        if self._found is not None:
            self.reason = monitor.halted(self._found)
            logger.warning("diagnose: %s", self.reason)
        return True


def _agreed(wanted: bool, step: int, device: torch.device) -> bool:  # noqa: FBT001  what is asked
    """Whether any rank wants to stop: one that stopped alone would keep the others waiting for ever.

    Asked by all of them, on the device that they talk over.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return wanted
    if step % EVERY:
        return False
    voices = torch.tensor(float(wanted), device=device)
    dist.all_reduce(voices, dist.ReduceOp.MAX)
    return bool(voices)
