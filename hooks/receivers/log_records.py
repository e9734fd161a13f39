"""The logging module: each finding as a record of a logger of your own."""

from __future__ import annotations

import logging

from diagnose.findings import Finding, Severity
from diagnose.reports.titles import title_of

LEVELS = {Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.CRITICAL: logging.ERROR}


class LogRecords:
    """Logs each finding at the level of its severity; `record.diagnose` is the same as plain values, for JSON."""

    def __init__(self, logger: logging.Logger | str) -> None:
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger

    def __call__(self, finding: Finding) -> None:
        """Log one finding."""
        told = {
            "id": finding.id,
            "severity": finding.severity.value,
            "confidence": finding.confidence,
            "window": finding.window,
            "layers": finding.layers,
            "evidence": dict(finding.evidence),
        }
        self._logger.log(
            LEVELS[finding.severity], "%s: %s", title_of(finding), finding.summary, extra={"diagnose": told}
        )
