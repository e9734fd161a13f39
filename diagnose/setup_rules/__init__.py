"""Checks that need no curve: what the model, the optimizer and the config tell by themselves.

One file per family of rules. A rule is a function in its family's `__all__`, named after what it
finds; its docstring is its manual page. The folder is the registry. All rules speak as `info`: they
weigh for and against causes, and only curves can make a run ill.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module

from diagnose.findings import Finding, Severity
from diagnose.run import Run

Rule = Callable[[Run], Finding | None]


@cache
def rules() -> Mapping[str, Rule]:
    """Every rule by its id."""
    families = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    return {name: getattr(family, name) for family in families for name in family.__all__}


def find(run: Run) -> list[Finding]:
    """Findings of all rules that the run's set-up breaks."""
    return [finding for rule in rules().values() if (finding := rule(run)) is not None]


def manual_page(rule: str) -> str:
    """What the rule asks for, why, and its source."""
    return inspect.getdoc(rules()[rule]) or ""


def breach(  # the one form that all rules' findings have
    rule: str,
    run: Run,
    summary: str,
    *,
    confidence: float = 0.9,
    layers: tuple[str, ...] = (),
    **evidence: float | str,
) -> Finding:
    """The finding of a rule that the set-up breaks: `info`, for the whole run."""
    return Finding(
        id=rule,
        kind="setup_rule",
        severity=Severity.INFO,
        confidence=confidence,
        window=(0, run.steps),
        summary=summary,
        evidence=evidence,
        layers=layers,
    )
