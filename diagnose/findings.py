"""What an examination finds: symptoms on the curves and rules that the set-up breaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

Kind = Literal["symptom", "setup_rule"]
Evidence = Mapping[str, float | str]


class Severity(Enum):
    """How bad a finding is: `info` is worth knowing, `warning` costs quality, `critical` ruins the run."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for info, 1 for warning, 2 for critical."""
        return ("info", "warning", "critical").index(self.value)


@dataclass(frozen=True)
class Finding:
    """A symptom or set-up rule that holds for a run.

    `confidence` in [0, 1]; `window` the first and last step it holds for, both included; `evidence`
    named numbers that a person can check on the plot; `summary` one sentence with those numbers.
    """

    id: str
    severity: Severity
    confidence: float
    window: tuple[int, int]
    summary: str
    evidence: Evidence = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    kind: Kind = "symptom"
