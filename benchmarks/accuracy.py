"""How often the diagnosis is right, on runs whose truth is known: python benchmarks/accuracy.py [-o out]

Over the recorded runs (fixtures/README.md says how they came about), and with --algoperf FOLDER over AlgoPerf's, whose
outcomes.csv tells what follows from their numbers. A finding above `info` counts; what the index allows as a
consequence counts neither way. Beside ours stand the published rules of others (peer_rules.py) on the same runs.
Thresholds were chosen with these runs in sight, by hand; tables by task are of one and the same classifier. --fixtures
FOLDER takes runs that record.py has made with another seed; all confidences' one shift was fitted to such.
-o writes accuracy.md and accuracy.json to a directory.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tables
from beside import by_tool, compared, others, others_by_outcome
from measuring import by_outcome, measured, per_task
from recorded import FIXTURES, Examined, examined, index, outcomes
from tables import percent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algoperf", type=Path, metavar="FOLDER", help="with outcomes.csv and runs/")
    parser.add_argument("--fixtures", type=Path, default=FIXTURES, metavar="FOLDER", help="what record.py has written")
    parser.add_argument("-o", "--output", type=Path, metavar="DIRECTORY")
    options = parser.parse_args()
    os.environ["DIAGNOSE_CACHE"] = "off"
    every, where = index(options.fixtures), options.fixtures / "runs"
    list(examined(every[:1], where))  # what is loaded and compiled once is no run's time
    runs = list(examined(every, where))
    records = measured(runs) | {"tasks": per_task(runs), "others": compared(runs)}
    shown = [("In all", in_all(records)), ("By symptom", by_symptom(records)), ("By task", by_task(records["tasks"]))]
    shown += [("By kind of fault", by_kind(runs)), ("Calibration", calibration(records))]
    shown += [("False alarms", false_alarms(runs))]
    shown += [("Others, rule by rule", others(records["others"])), ("Others, tool by tool", by_tool(runs))]
    if options.algoperf:
        theirs = list(examined(outcomes(options.algoperf), options.algoperf / "runs"))
        records["algoperf"] = by_outcome(theirs)
        shown += [("AlgoPerf", outcome_table(theirs)), ("Others on AlgoPerf", others_by_outcome(theirs))]
    text = "\n\n".join(f"### {heading}\n\n{table}" for heading, table in shown)
    print(f"{tables.machine()}\n\n{text}")
    if options.output:
        tables.write(options.output, "accuracy", text, records)


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


def by_task(tasks: Mapping[str, dict[str, Any]]) -> str:
    """The same classifier on each task: were anything fitted, it would be fitted to the others."""
    rows = (
        [
            task,
            told["runs"],
            percent(told["macro_f1"]),
            percent(told["ill_runs_named_rightly"]),
            f"{told['healthy_with_any_finding']} of {told['healthy']}",
            percent(told["cause"]["first"]),
            percent(told["calibration_error"]),
        ]
        for task, told in tasks.items()
    )
    heads = ("task", "runs", "macro F1", "ill named rightly", "false alarms", "cause at rank 1", "calibration error")
    return tables.markdown(heads, rows)


def by_kind(runs: Sequence[Examined]) -> str:
    """Each kind of fault: how many of its runs have a right symptom named, none at all, and the cause first."""
    rows = []
    for kind in sorted({run.entry["kind"] for run in runs if not run.entry["healthy"]}):
        those = [run for run in runs if run.entry["kind"] == kind]
        first = [[cause.id for cause in run.diagnosis.causes[:1]] == [run.entry["cause"]] for run in those]
        named = sum(bool(run.truth.symptoms & run.named) for run in those)
        caused = sum(first) if those[0].entry["cause"] else "–"
        rows.append([kind, len(those), named, sum(not run.named for run in those), caused])
    return tables.markdown(("fault", "runs", "named rightly", "nothing named", "cause at rank 1"), rows)


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


if __name__ == "__main__":
    main()
