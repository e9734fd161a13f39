"""The rules of others beside our symptoms, on the same runs and counted alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import tables
from measuring import by_outcome, figures
from peer_rules import RULES, PeerRule
from recorded import Examined
from scoring import scored_claim
from tables import percent


def compared(runs: Sequence[Examined]) -> list[dict[str, Any]]:
    """Each rule of others and our symptoms for the same claim, on the runs that the rule can be asked about."""
    return [_compared(rule, runs) for rule in RULES]


def _compared(rule: PeerRule, runs: Sequence[Examined]) -> dict[str, Any]:
    answers = [(run, fired) for run in runs if (fired := rule.fires(run.diagnosis.run)) is not None]
    return {
        "rule": f"{rule.tool}: {rule.name}",
        "claims": rule.claims,
        "runs": len(answers),
        "theirs": _claimed(rule, answers),
        "ours": _claimed(rule, [(run, bool(run.named & set(rule.claims))) for run, _ in answers]),
        "not_held": rule.lacks if answers else rule.lacks or "all of it",
    }


def _claimed(rule: PeerRule, answers: Sequence[tuple[Examined, bool]]) -> dict[str, float | int | None]:
    score = scored_claim(rule.claims, [(run.truth, fired) for run, fired in answers])
    return figures(score) | {"healthy_alarms": sum(fired for run, fired in answers if run.entry.get("healthy"))}


def others(rules: Sequence[dict[str, Any]]) -> str:
    """The comparison as a table; ours in the order of theirs."""
    heads = ("rule", "claims", "runs", "precision", "recall", "F1", "healthy alarms", "ours: the same", "not held")
    return tables.markdown(heads, (_row(told) for told in rules))


def _row(told: dict[str, Any]) -> list[object]:
    theirs, ours = (
        [*(percent(one[key]) for key in ("precision", "recall", "f1")), str(one["healthy_alarms"])]
        for one in (told["theirs"], told["ours"])
    )
    figures_told = [*theirs, " / ".join(ours)] if told["runs"] else ["–"] * 5
    return [told["rule"], ", ".join(told["claims"]), told["runs"], *figures_told, told["not_held"]]


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
