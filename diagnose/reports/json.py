"""A diagnosis as plain data and as strict JSON, after schema.json."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from diagnose.diagnosis import SCHEMA_VERSION, Cause, Change, Diagnosis
from diagnose.findings import Finding
from diagnose.reports.titles import title_of


def as_dict(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis as plain data: strings, finite numbers, booleans, None, lists and dictionaries.

    NaN and infinity become None, so that the result is strict JSON.
    """
    prescription = diagnosis.prescription
    return {
        "schema": SCHEMA_VERSION,
        "run": diagnosis.run.path,
        "healthy": diagnosis.healthy,
        "steps": diagnosis.run.steps,
        "findings": [_finding(finding) for finding in diagnosis.findings],
        "causes": [_cause(cause) for cause in diagnosis.causes],
        "prescription": {
            "stage": prescription.stage,
            "changes": [_change(change) for change in prescription.changes],
            "held_back": [
                {"remedy": held.remedy, "title": held.title, "until": held.until} for held in prescription.held_back
            ],
        },
        "names": dict(diagnosis.run.names),
        "missing": dict(diagnosis.missing),
        "notes": list(diagnosis.run.notes),
    }


def as_json(diagnosis: Diagnosis) -> str:
    """The diagnosis as indented, strict JSON."""
    return json.dumps(as_dict(diagnosis), indent=2, ensure_ascii=False, allow_nan=False)


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "kind": finding.kind,
        "title": title_of(finding),
        "severity": finding.severity.value,
        "confidence": _plain(finding.confidence),
        "window": [int(step) for step in finding.window],
        "layers": list(finding.layers),
        "evidence": {name: _plain(value) for name, value in finding.evidence.items()},
        "summary": finding.summary,
    }


def _cause(cause: Cause) -> dict[str, Any]:
    return {
        "id": cause.id,
        "title": cause.title,
        "probability": _plain(cause.probability),
        "because": list(cause.because),
        "against": list(cause.against),
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "remedy": change.remedy,
        "title": change.title,
        "setting": change.setting,
        "from": _plain(change.before),
        "to": _plain(change.after),
        "because": change.because,
        "sources": list(change.sources),
        "coupled_to": change.coupled_to,
        "watch": change.watch,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if isfinite(value) else None  # float() also of NumPy's kind, which json does not know
    return value
