"""Confidences as shares of being right: what a symptom's own margin says, shifted by what recorded runs bear out."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

from diagnose.findings import Finding, Severity

# Log-odds. Of 89 findings on recordings with a fresh seed 97 % were right, where 89 % had been promised. Maximum
# likelihood asks for 1.37 there (Platt 1999, the slope kept at 1); rounded down: the world is less kind. Those runs
# are small ones with a fault put in on purpose, and have been looked at since: other runs will bear out less.
SHIFT = 1.0
LEAST, MOST = 1e-3, 0.995  # before the shift: nothing is certain


def calibrated(finding: Finding) -> Finding:
    """The finding with the confidence that its kind has earned; an `info`, which claims no illness, stays as it is."""
    if finding.severity is Severity.INFO:
        return finding
    margin = min(max(finding.confidence, LEAST), MOST)
    return replace(finding, confidence=1 / (1 + exp(-log(margin / (1 - margin)) - SHIFT)))
