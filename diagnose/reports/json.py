"""A diagnosis as plain data and as strict JSON, after schema.json."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

import numpy as np

from diagnose.diagnosis import SCHEMA_VERSION, Cause, Change, Diagnosis, Prescription
from diagnose.findings import Finding
from diagnose.reports.titles import title_of


def as_dict(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis as plain data: strings, finite numbers, booleans, None, lists and dictionaries.

    NaN and infinity become None, and what is no Unicode text (parts of a file's name may not be) is
    replaced, so that the result is strict JSON.
    """
    told: dict[str, Any] = strict(_told(diagnosis))
    return told


def as_json(diagnosis: Diagnosis) -> str:
    """The diagnosis as indented, strict JSON, without a character that a terminal would obey."""
    text = json.dumps(as_dict(diagnosis), indent=2, ensure_ascii=False, allow_nan=False)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def prescription_as_dict(prescription: Prescription) -> dict[str, Any]:
    """The prescription alone, in the form that it has within a diagnosis."""
    told: dict[str, Any] = strict(_prescription(prescription))
    return told


def _prescription(prescription: Prescription) -> dict[str, Any]:
    return {
        "stage": prescription.stage,
        "changes": [_change(change) for change in prescription.changes],
        "held_back": [
            {"remedy": held.remedy, "title": held.title, "until": held.until} for held in prescription.held_back
        ],
        "notes": list(prescription.notes),
    }


def _told(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "schema": SCHEMA_VERSION,
        "run": diagnosis.run.path,
        "healthy": diagnosis.healthy,
        "steps": diagnosis.run.steps,
        "findings": [_finding(finding) for finding in diagnosis.findings],
        "causes": [_cause(cause) for cause in diagnosis.causes],
        "prescription": _prescription(diagnosis.prescription),
        "names": dict(diagnosis.run.names),
        "missing": dict(diagnosis.missing),
        "notes": list(diagnosis.run.notes),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "kind": finding.kind,
        "title": title_of(finding),
        "severity": finding.severity.value,
        "confidence": finding.confidence,
        "window": [int(step) for step in finding.window],
        "layers": list(finding.layers),
        "evidence": dict(finding.evidence),
        "summary": finding.summary,
    }


def _cause(cause: Cause) -> dict[str, Any]:
    return {
        "id": cause.id,
        "title": cause.title,
        "probability": cause.probability,
        "because": list(cause.because),
        "against": list(cause.against),
        "prior": cause.prior,
        "evidence": [
            {"finding": line.finding, "log_odds": line.log_odds, "because": line.because, "sources": list(line.sources)}
            for line in cause.evidence
        ],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "remedy": change.remedy,
        "title": change.title,
        "setting": change.setting,
        "from": change.before,
        "to": change.after,
        "because": change.because,
        "sources": list(change.sources),
        "coupled_to": change.coupled_to,
        "watch": change.watch,
        "refuted_by": change.refuted_by,
    }


def strict(value: Any) -> Any:
    """The value with all that strict JSON cannot hold replaced, however deep."""
    if isinstance(value, dict):
        return {strict(str(name)): strict(part) for name, part in value.items()}
    if isinstance(value, list):
        return [strict(part) for part in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, np.generic):
        return strict(value.item())
    return None if isinstance(value, float) and not isfinite(value) else value
