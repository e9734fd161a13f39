"""From findings to ranked causes: log-odds are added up, so that a person can read why."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import exp
from typing import Any

from diagnose.diagnosis import Cause, EvidenceLine, Stage
from diagnose.findings import Finding, Severity
from diagnose.run import Run
from diagnose.schedules import FELL, ROSE
from diagnose.signals import LR

SEEN_LATER = 0.05  # of the run: so much later the harm of a rate is seen at the latest
EARLY_SHARE = 0.1  # of the run: trouble that begins there is a trouble of the beginning (K21)


@dataclass(frozen=True)
class Rule:
    """How one finding weighs for or against one cause."""

    finding: str
    log_odds: float
    because: str
    sources: tuple[str, ...]
    where: Mapping[str, Any]
    early: bool
    rate: str = ""  # the learning rate at the window's begin, by what the run bore before: "borne" or "raised"


@dataclass(frozen=True)
class CauseEntry:
    """One cause as causes.toml tells it."""

    id: str
    title: str
    stage: Stage
    prior: float
    remedies: tuple[str, ...]
    moves: int  # of its remedies, so many are prescribed at once
    rules: tuple[Rule, ...]


@cache
def known_causes() -> Mapping[str, CauseEntry]:
    """All causes of causes.toml by id."""
    told = tomllib.loads(files("diagnose").joinpath("causes.toml").read_text(encoding="utf-8"))
    return {name: _entry(name, entry) for name, entry in told.items()}


def ranked(findings: Sequence[Finding], run: Run) -> tuple[Cause, ...]:
    """The causes that some finding above `info` speaks for, likeliest first; probabilities sum to 1."""
    scored = [
        (entry, lines)
        for entry in known_causes().values()
        if (lines := _evidence(entry, findings, run)) and _explains_an_ill(lines, findings)
    ]
    weights = [exp(entry.prior + sum(line.log_odds for line in lines)) for entry, lines in scored]
    causes = [
        Cause(entry.id, entry.title, weight / sum(weights), lines, entry.prior)
        for (entry, lines), weight in zip(scored, weights, strict=True)
    ]
    return tuple(sorted(causes, key=lambda cause: -cause.probability))


def _evidence(entry: CauseEntry, findings: Sequence[Finding], run: Run) -> tuple[EvidenceLine, ...]:
    lines = [
        EvidenceLine(rule.finding, rule.log_odds * finding.confidence, rule.because, rule.sources)
        for rule in entry.rules
        for finding in findings
        if _applies(rule, finding, run)
    ]
    return tuple(sorted(lines, key=lambda line: -line.log_odds))


def _applies(rule: Rule, finding: Finding, run: Run) -> bool:
    holds = rule.finding == finding.id and all(finding.evidence.get(k) == v for k, v in rule.where.items())
    early = not rule.early or finding.window[0] - run.start <= EARLY_SHARE * run.length
    return holds and early and (not rule.rate or rule.rate == _rate_against_before(run, finding.window[0]))


def _rate_against_before(run: Run, step: int) -> str:
    """`borne` where the rate at `step` is clearly below one that the run took without harm, `raised` where above all.

    The last twentieth of the run before `step` is not counted as borne: what a rate does is seen some steps later.
    """
    lr = run.scalar(LR)
    if lr is None or not len(lr.finite):
        return ""
    steps, values = lr.finite.steps, lr.finite.values
    before = values[steps < step - SEEN_LATER * run.length]
    around = values[(steps >= step - SEEN_LATER * run.length) & (steps <= step)]
    if not len(before) or not len(around):
        return ""
    highest, now = float(before.max()), float(around.max())
    return "raised" if now > ROSE * highest else "borne" if now < FELL * highest else ""


def _explains_an_ill(lines: Sequence[EvidenceLine], findings: Sequence[Finding]) -> bool:
    ill = {finding.id for finding in findings if finding.severity is not Severity.INFO}
    return any(line.log_odds > 0 and line.finding in ill for line in lines)


def _entry(name: str, told: Mapping[str, Any]) -> CauseEntry:
    rules = tuple(
        Rule(
            finding=line["finding"],
            log_odds=float(line["log_odds"]),
            because=line["because"],
            sources=tuple(line["sources"]),
            where=line.get("where", {}),
            early=line.get("early", False),
            rate=line.get("rate", ""),
        )
        for line in told["evidence"]
    )
    return CauseEntry(
        name, told["title"], told["stage"], float(told["prior"]), tuple(told["remedies"]), told.get("moves", 1), rules
    )
