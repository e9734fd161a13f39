"""Runs whose truth is known, examined: what was expected of each, what was found, and how long it took."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoring import Truth

import diagnose
from diagnose import Diagnosis, Finding, Severity

FIXTURES = Path(__file__).parent.parent / "fixtures"
Entry = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Examined:
    """One run, its line in the index, and its diagnosis; `seconds` are reading and examining together."""

    entry: Entry
    diagnosis: Diagnosis
    seconds: float

    @property
    def truth(self) -> Truth:
        """What showed, and what may follow from it."""
        return Truth(frozenset(self.entry["symptoms"]), frozenset(self.entry["also"]))

    @property
    def findings(self) -> list[Finding]:
        """Findings above `info`, those of set-up rules among them."""
        return [finding for finding in self.diagnosis.findings if finding.severity is not Severity.INFO]

    @property
    def symptoms(self) -> list[Finding]:
        """The symptoms among them."""
        return [finding for finding in self.findings if finding.kind == "symptom"]

    @property
    def named(self) -> frozenset[str]:
        """The symptoms' ids."""
        return frozenset(finding.id for finding in self.symptoms)


def index(fixtures: Path = FIXTURES) -> list[Entry]:
    """The lines of the recorded runs' index."""
    return [json.loads(line) for line in (fixtures / "index.jsonl").read_text().splitlines()]


def examined(entries: list[Entry], runs: Path = FIXTURES / "runs") -> Iterator[Examined]:
    """Each run read and examined, one after another."""
    for entry in entries:
        start = time.perf_counter()
        diagnosis = diagnose.examine(runs / entry["run"])
        yield Examined(entry, diagnosis, time.perf_counter() - start)


def outcomes(folder: Path) -> list[Entry]:
    """The lines of AlgoPerf's outcomes.csv, as an index: what follows from the numbers alone."""
    with (folder / "outcomes.csv").open(newline="") as file:
        return [_expected(row) for row in csv.DictReader(file)]


def _expected(row: Mapping[str, str]) -> Entry:
    if row["nan_text"] == "True":
        outcome, symptoms = "NaN", ["nan_loss"]
    elif row["worse_than_start"] == "True":
        outcome, symptoms = "worse than start", ["divergence", "late_instability"]
    else:
        outcome, symptoms = ("reached target" if row["reached"] == "True" else "missed target"), []
    return {"run": row["id"], "task": row["workload"], "outcome": outcome, "symptoms": symptoms, "also": []}
