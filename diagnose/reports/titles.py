"""Findings' names as a person reads them."""

from __future__ import annotations

from diagnose import setup_rules, symptoms
from diagnose.findings import Finding


def title_of(finding: Finding) -> str:
    """The finding's name from its manual page: "Vanishing gradients"; its id in words where it has none."""
    if finding.id in symptoms.ids():
        return symptoms.title(finding.id)
    if finding.id in setup_rules.rules():
        return setup_rules.manual_page(finding.id).partition(":")[0]
    return finding.id.replace("_", " ").capitalize()
