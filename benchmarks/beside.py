"""The rules of others beside our symptoms, on the same runs and counted alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import tables
from measuring import by_outcome
from peer_rules import RULES, PeerRule
from recorded import Examined
from scoring import scored_claim
from tables import percent


def others(runs: Sequence[Examined]) -> str:
    """Each rule of others, and our symptoms for the same claim, on the runs that the rule can be asked about."""
    heads = ("rule", "claims", "runs", "precision", "recall", "F1", "healthy alarms", "ours: the same", "not held")
    return tables.markdown(heads, (_beside(rule, runs) for rule in RULES))


def _beside(rule: PeerRule, runs: Sequence[Examined]) -> list[object]:
    answers = [(run, fired) for run in runs if (fired := rule.fires(run.diagnosis.run)) is not None]
    name = [f"{rule.tool}: {rule.name}", ", ".join(rule.claims), len(answers)]
    if not answers:
        return [*name, *["–"] * 5, rule.lacks or "all of it"]
    theirs = _claimed(rule, answers)
    ours = _claimed(rule, [(run, bool(run.named & set(rule.claims))) for run, _ in answers])
    return [*name, *theirs, " / ".join(ours), rule.lacks]


def _claimed(rule: PeerRule, answers: Sequence[tuple[Examined, bool]]) -> list[str]:
    score = scored_claim(rule.claims, [(run.truth, fired) for run, fired in answers])
    alarms = sum(fired for run, fired in answers if run.entry["healthy"])
    return [percent(score.precision), percent(score.recall), percent(score.f1), str(alarms)]


def by_tool(runs: Sequence[Examined]) -> str:
    """All rules of a tool together: how many ill runs any of them names rightly, how many healthy ones it alarms."""
    ill = [run for run in runs if not run.entry["healthy"]]
    healthy = [run for run in runs if run.entry["healthy"]]
    named = sum(bool(run.truth.symptoms & run.named) for run in ill)
    rows = [["diagnose", f"{named} of {len(ill)}", f"{sum(bool(run.findings) for run in healthy)} of {len(healthy)}"]]
    for tool in dict.fromkeys(rule.tool for rule in RULES):
        rules = [rule for rule in RULES if rule.tool == tool]
        claims = [{claim for rule in rules if rule.fires(run.diagnosis.run) for claim in rule.claims} for run in ill]
        rightly = sum(bool(run.truth.symptoms & claimed) for run, claimed in zip(ill, claims, strict=True))
        alarmed = sum(any(rule.fires(run.diagnosis.run) for rule in rules) for run in healthy)
        rows.append([tool, f"{rightly} of {len(ill)}", f"{alarmed} of {len(healthy)}"])
    return tables.markdown(("tool", "ill runs named rightly", "healthy runs alarmed"), rows)


def others_by_outcome(runs: Sequence[Examined]) -> str:
    """On how many runs of each outcome a rule fires, and in brackets our symptoms for the same claim.

    No precision: of a run that missed its target nobody knows what ailed it.
    """
    named = list(by_outcome(runs))
    rows = []
    for rule in RULES:
        answers = [(run, fired) for run in runs if (fired := rule.fires(run.diagnosis.run)) is not None]
        if answers:
            told = [[(run, fired) for run, fired in answers if run.entry["outcome"] == outcome] for outcome in named]
            cells = [f"{sum(f for _, f in those)} ({_ours(rule, those)}) of {len(those)}" for those in told]
            rows.append([f"{rule.tool}: {rule.name}", ", ".join(rule.claims), *cells])
    return tables.markdown(("rule (ours in brackets)", "claims", *named), rows)


def _ours(rule: PeerRule, answers: Iterable[tuple[Examined, bool]]) -> int:
    return sum(bool(run.named & set(rule.claims)) for run, _ in answers)
