"""Findings' names, and the layers they hold for, as a person reads them."""

from __future__ import annotations

from diagnose import setup_rules, symptoms
from diagnose.findings import Finding

MOST_LAYERS = 12  # named one by one; a network may have thousands


def title_of(finding: Finding) -> str:
    """The finding's name from its manual page: "Vanishing gradients"; its id in words where it has none."""
    if finding.id in symptoms.ids():
        return symptoms.title(finding.id)
    if finding.id in setup_rules.rules():
        return setup_rules.manual_page(finding.id).partition(":")[0]
    return finding.id.replace("_", " ").capitalize()


def layers_of(finding: Finding) -> str:
    """The finding's layers by name, the first ones and how many more; empty where it names none."""
    named = ", ".join(finding.layers[:MOST_LAYERS])
    more = len(finding.layers) - MOST_LAYERS
    return f"{named} and {more:,} more" if more > 0 else named
