"""A diagnosis as other places keep it: few plain values, and a table of findings."""

from __future__ import annotations

import os

from diagnose.diagnosis import Diagnosis
from diagnose.examination import examine
from diagnose.reports.headline import headline
from diagnose.reports.moves import moves_of
from diagnose.reports.numbers import shown
from diagnose.reports.titles import layers_of, title_of

FINDING_COLUMNS = ("symptom", "severity", "confidence", "first_step", "last_step", "layers", "what was seen")

Examined = Diagnosis | str | os.PathLike[str]


def diagnosis_of(examined: Examined) -> Diagnosis:
    """The diagnosis itself, or that of the run at a path; raises `NoRunError` where there is none."""
    return examined if isinstance(examined, Diagnosis) else examine(examined)


def summary_of(diagnosis: Diagnosis) -> dict[str, str | bool | float]:
    """The diagnosis in a few values, to filter and sort runs by."""
    leads = [move.lead for move in moves_of(diagnosis.prescription)]
    cause = diagnosis.causes[0] if diagnosis.causes else None
    return {
        "diagnose/healthy": diagnosis.healthy,
        "diagnose/worst": diagnosis.worst.value if diagnosis.worst is not None else "none",
        "diagnose/findings": ", ".join(finding.id for finding in diagnosis.findings) or "none",
        "diagnose/cause": cause.id if cause is not None else "none",
        "diagnose/cause_probability": cause.probability if cause is not None else 0.0,
        "diagnose/change": "; ".join(f"{c.setting} {shown(c.before)} → {shown(c.after)}" for c in leads) or "none",
        "diagnose/headline": headline(diagnosis),
    }


def finding_rows(diagnosis: Diagnosis) -> list[list[str | float | int]]:
    """One row a finding, in the order of FINDING_COLUMNS."""
    return [
        [title_of(f), f.severity.value, f.confidence, f.window[0], f.window[1], layers_of(f), f.summary]
        for f in diagnosis.findings
    ]
