"""Every figure of the accuracy benchmark, as plain data: symptoms, causes, windows, confidences, time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from calibration import expected_calibration_error, reliability
from recorded import Examined
from scoring import Score, macro_f1, mean, ratio, scored

from diagnose import Severity, symptoms


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


def per_task(runs: Sequence[Examined]) -> dict[str, dict[str, Any]]:
    """The same figures of each task's runs alone."""
    tasks = sorted({run.entry["task"] for run in runs})
    return {task: measured([run for run in runs if run.entry["task"] == task]) for task in tasks}


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
