"""Halting as frameworks want it: between two steps, and by their own means."""

from __future__ import annotations

import logging

from diagnose.errors import TrainingHalted
from diagnose.findings import Finding
from diagnose.hooks.monitor import Monitor

logger = logging.getLogger("diagnose")


class Halt:
    """Of one training: what it is to be halted for, and, once it was, the `reason`."""

    def __init__(self) -> None:
        self.reason: TrainingHalted | None = None
        self._found: Finding | None = None

    def note(self, finding: Finding) -> None:
        """What the monitor calls in place of raising, on all ranks at the same step; the first finding counts."""
        self._found = self._found or finding

    def is_due(self, monitor: Monitor | None) -> bool:
        """Whether to stop; then the log is closed and the reason told."""
        if monitor is None or self._found is None:
            return False
        self.reason = monitor.halted(self._found)
        logger.warning("diagnose: %s", self.reason)
        return True
