"""A halt: what is told when training is stopped for a finding."""

from __future__ import annotations

from pathlib import Path

from diagnose.errors import TrainingHalted
from diagnose.examination import examine
from diagnose.findings import Finding


def halted(finding: Finding, directory: Path) -> TrainingHalted:
    """What a finding of the run in `directory` raises, its log being closed: with its diagnosis, if it has one."""
    try:
        diagnosis = examine(directory)
    except Exception:  # noqa: BLE001  the finding is known and must be told, whatever else cannot be
        diagnosis = None
    return TrainingHalted(finding, diagnosis)
