"""How often the diagnosis is right, on runs whose truth is known: python benchmarks/accuracy.py [-o out]

Over the recorded runs (fixtures/README.md says how they came about), and with --algoperf FOLDER over AlgoPerf's, whose
outcomes.csv tells what follows from their numbers. A finding above `info` counts; what the index allows as a
consequence counts neither way. Beside ours stand the published rules of others (peer_rules.py) on the same runs.
Nothing is fitted to the runs, neither thresholds nor confidences: tables by task are of one and the same classifier.
-o writes accuracy.md and accuracy.json to a directory.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tables
from calibration import expected_calibration_error, reliability
from peer_rules import RULES, PeerRule
from recorded import FIXTURES, Examined, examined, index, outcomes
from scoring import Score, macro_f1, mean, ratio, scored, scored_claim

from diagnose import Severity, symptoms

Table = tuple[str, str]  # heading and Markdown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algoperf", type=Path, metavar="FOLDER", help="with outcomes.csv and runs/")
    parser.add_argument("-o", "--output", type=Path, metavar="DIRECTORY")
    options = parser.parse_args()
    os.environ["DIAGNOSE_CACHE"] = "off"
    list(examined(index()[:1], FIXTURES / "runs"))  # what is loaded and compiled once is no run's time
    runs = list(examined(index(), FIXTURES / "runs"))
    records = measured(runs)
    shown = [("In all", in_all(records)), ("By symptom", by_symptom(records)), ("By task", by_task(runs))]
    shown += [("Calibration", calibration(records)), ("False alarms", false_alarms(runs))]
    shown += [("Others, rule by rule", others(runs)), ("Others, tool by tool", by_tool(runs))]
    if options.algoperf:
        theirs = list(examined(outcomes(options.algoperf), options.algoperf / "runs"))
        records["algoperf"] = by_outcome(theirs)
        shown += [("AlgoPerf", outcome_table(theirs)), ("Others on AlgoPerf", others_by_outcome(theirs))]
    text = "\n\n".join(f"### {heading}\n\n{table}" for heading, table in shown)
    print(f"{tables.machine()}\n\n{text}")
    if options.output:
        tables.write(options.output, "accuracy", text, records)


def measured(runs: Sequence[Examined]) -> dict[str, Any]:
    """Every figure of the recorded runs."""
    pairs = [(run.truth, run.named) for run in runs]
    scores = {name: scored(name, pairs) for name in symptoms.ids()}
    healthy = [run for run in runs if run.entry["healthy"]]
    ill = [run for run in runs if not run.entry["healthy"]]
    bins = reliability(confidences(runs))
    seconds = np.array([run.seconds for run in runs])
    return {
        "runs": len(runs),
        "healthy": len(healthy),
        "macro_f1": macro_f1(scores.values()),
        "ill_runs_named_rightly": ratio(sum(bool(run.truth.symptoms & run.named) for run in ill), len(ill)),
        "ill_runs_without_finding": ratio(sum(not run.named for run in ill), len(ill)),
        "healthy_with_symptom": sum(bool(run.symptoms) for run in healthy),
        "healthy_with_any_finding": sum(bool(run.findings) for run in healthy),
        "cause": causes(ill),
        "window_error": window_errors(ill),
        "calibration_error": expected_calibration_error(bins),
        "reliability": bins,
        "seconds": {"median": float(np.median(seconds)), "most": float(seconds.max())},
        "symptoms": {name: figures(score) for name, score in scores.items()},
    }


def figures(score: Score) -> dict[str, float | int | None]:
    """A score's counts and its ratios."""
    ratios = ("precision", "recall", "strict_recall", "f1")
    return asdict(score) | {name: getattr(score, name) for name in ratios}


def confidences(runs: Iterable[Examined]) -> list[tuple[float, bool]]:
    """Each symptom's confidence and whether it was right; permitted consequences are left out."""
    return [
        (finding.confidence, finding.id in run.truth.symptoms)
        for run in runs
        for finding in run.symptoms
        if finding.id not in run.truth.also
    ]


def causes(ill: Iterable[Examined]) -> dict[str, float | int | None]:
    """Shares of the ill runs with a known cause: it stands first, it or its likeness stands first, among three."""
    known = [run for run in ill if run.entry["cause"]]
    ranked = [([cause.id for cause in run.diagnosis.causes], run.entry) for run in known]
    return {
        "runs": len(known),
        "first": ratio(sum(ids[:1] == [entry["cause"]] for ids, entry in ranked), len(known)),
        "first_or_alike": ratio(
            sum(bool(ids) and ids[0] in {entry["cause"], *entry["or_causes"]} for ids, entry in ranked), len(known)
        ),
        "among_three": ratio(sum(entry["cause"] in ids[:3] for ids, entry in ranked), len(known)),
        "none_given": ratio(sum(not ids for ids, _ in ranked), len(known)),
    }


def window_errors(ill: Iterable[Examined]) -> dict[str, dict[str, float | int | None]]:
    """How far windows of right findings begin from the fault's first step, as shares of the run.

    Faults that act from the first step are kept apart: many of their symptoms rightly begin later.
    """
    from_start: list[float] = []
    later: list[float] = []
    for run in ill:
        acts, steps = run.entry["acts_from_step"], run.entry["steps"]
        found = [finding for finding in run.symptoms if finding.id in run.truth.symptoms]
        (later if acts > 1 else from_start).extend(abs(finding.window[0] - acts) / steps for finding in found)
    return {
        name: {
            "findings": len(errors),
            "median": float(np.median(errors)) if errors else None,
            "tenth_worst": float(np.quantile(errors, 0.9)) if errors else None,
        }
        for name, errors in (("faults_from_the_first_step", from_start), ("later_faults", later))
    }


def in_all(records: dict[str, Any]) -> str:
    """The figures that sum up the recorded runs."""
    cause, windows = records["cause"], records["window_error"]
    healthy = records["healthy"]
    rows = [
        ("runs, healthy among them", f"{records['runs']}, {healthy}"),
        ("macro F1 over the symptoms that some run shows", percent(records["macro_f1"])),
        ("ill runs of which a right symptom is named", percent(records["ill_runs_named_rightly"])),
        ("ill runs without any symptom named", percent(records["ill_runs_without_finding"])),
        ("healthy runs with a symptom above `info`", f"{records['healthy_with_symptom']} of {healthy}"),
        ("healthy runs with any finding above `info`", f"{records['healthy_with_any_finding']} of {healthy}"),
        (f"cause right at rank 1 ({cause['runs']} runs)", percent(cause["first"])),
        ("cause at rank 1 right or not to be told from it", percent(cause["first_or_alike"])),
        ("cause among the first three", percent(cause["among_three"])),
        ("ill runs for which no cause is given", percent(cause["none_given"])),
        ("expected calibration error", percent(records["calibration_error"])),
        ("seconds a run, median and most", "{median:.3f}, {most:.3f}".format(**records["seconds"])),
    ]
    for name, told in windows.items():
        label = f"window's start, {name.replace('_', ' ')} ({told['findings']} findings): median error, tenth worst"
        rows.append((label, f"{percent(told['median'])}, {percent(told['tenth_worst'])} of the run"))
    return tables.markdown(("figure", "value"), rows)


def by_symptom(records: dict[str, Any]) -> str:
    """Precision, recall and F1 of each symptom."""
    heads = ("symptom", "right", "wrong", "missed", "excused", "precision", "recall", "strict recall", "F1")
    counts, ratios = ("right", "wrong", "missed", "excused"), ("precision", "recall", "strict_recall", "f1")
    return tables.markdown(
        heads,
        (
            [name, *(told[key] for key in counts), *(percent(told[key]) for key in ratios)]
            for name, told in records["symptoms"].items()
        ),
    )


def by_task(runs: Sequence[Examined]) -> str:
    """The same classifier on each task: were anything fitted, it would be fitted to the others."""
    rows = []
    for task in sorted({run.entry["task"] for run in runs}):
        told = measured([run for run in runs if run.entry["task"] == task])
        rows.append(
            [
                task,
                told["runs"],
                percent(told["macro_f1"]),
                percent(told["ill_runs_named_rightly"]),
                f"{told['healthy_with_any_finding']} of {told['healthy']}",
                percent(told["cause"]["first"]),
                percent(told["calibration_error"]),
            ]
        )
    heads = ("task", "runs", "macro F1", "ill named rightly", "false alarms", "cause at rank 1", "calibration error")
    return tables.markdown(heads, rows)


def calibration(records: dict[str, Any]) -> str:
    """The reliability table."""
    return tables.markdown(
        ("confidence", "findings", "mean confidence", "right"),
        (
            [f"{one.low:.1f}–{one.high:.1f}", one.count, percent(one.confidence), percent(one.right)]
            for one in records["reliability"]
        ),
    )


def false_alarms(runs: Sequence[Examined]) -> str:
    """Each finding above `info` on a healthy run, and on ill runs each symptom that is no part of the fault."""
    wrong: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for finding in run.findings:
            if run.entry["healthy"]:
                wrong.setdefault((finding.id, "healthy"), []).append(run.entry["kind"])
            elif finding.kind == "symptom" and finding.id not in run.truth.symptoms | run.truth.also:
                wrong.setdefault((finding.id, "ill"), []).append(run.entry["kind"])
    rows = ([name, which, len(kinds), ", ".join(sorted(set(kinds)))] for (name, which), kinds in sorted(wrong.items()))
    return tables.markdown(("finding", "runs that are", "number", "kinds"), rows)


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


def by_outcome(runs: Sequence[Examined]) -> dict[str, dict[str, float | int | None]]:
    """AlgoPerf's runs by what became of them: shares with each severity, and with a symptom that the outcome asks for.

    A run that merely missed its target asks for nothing: it may be ill or too slow.
    """
    told: dict[str, dict[str, float | int | None]] = {}
    for outcome in sorted({run.entry["outcome"] for run in runs}):
        those = [run for run in runs if run.entry["outcome"] == outcome]
        told[outcome] = {
            "runs": len(those),
            "critical": sum(run.diagnosis.worst is Severity.CRITICAL for run in those),
            "warning": sum(run.diagnosis.worst is Severity.WARNING for run in those),
            "named": sum(bool(run.truth.symptoms & run.named) for run in those) if those[0].truth.symptoms else None,
            "seconds": mean([run.seconds for run in those]),
        }
    return told


def outcome_table(runs: Sequence[Examined]) -> str:
    """The same as a table, and which symptoms were named."""
    rows = []
    for outcome, told in by_outcome(runs).items():
        named = [name for run in runs if run.entry["outcome"] == outcome for name in run.named]
        often = sorted(set(named), key=lambda name: (-named.count(name), name))
        asked = "–" if told["named"] is None else told["named"]
        which = ", ".join(f"{name} {named.count(name)}" for name in often)
        rows.append([outcome, told["runs"], told["critical"], told["warning"], asked, f"{told['seconds']:.3f}", which])
    heads = ("outcome", "runs", "worst is critical", "worst is warning", "named as asked", "seconds", "symptoms named")
    return tables.markdown(heads, rows)


def percent(share: float | None) -> str:
    """A share for the eye; – where there is nothing to divide by."""
    return "–" if share is None else f"{100 * share:.1f} %"


if __name__ == "__main__":
    main()
