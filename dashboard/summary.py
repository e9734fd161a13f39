"""What the table keeps of a diagnosis: a few hundred bytes of plain data, where the curves take megabytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from diagnose.dashboard import plan
from diagnose.dashboard.activity import marks_its_end, usual_pause_s
from diagnose.dashboard.sparks import spark
from diagnose.diagnosis import Change, Diagnosis, Setting
from diagnose.findings import Severity
from diagnose.prescriptions.hyperparameters import canonical
from diagnose.prescriptions.settings import settings_of
from diagnose.reports.numbers import shown
from diagnose.reports.titles import title_of
from diagnose.run import Run
from diagnose.signals import LR, TRAIN_LOSS, VALIDATION_LOSS

MOST_SETTINGS: Final = 60  # of a config; some hold every path and flag of a framework
LONGEST_SETTING: Final = 60  # characters

Summary = Mapping[str, Any]  # fit for JSON: it is kept on disk, and sent to the browser


def summary_of(diagnosis: Diagnosis) -> Summary:
    """Everything that a row of the table shows, sorts and filters by."""
    run, worst = diagnosis.run, None if diagnosis.healthy else diagnosis.findings[0]
    changes = diagnosis.prescription.changes
    planned = plan.planned_steps(run)
    progress = plan.progress(run, planned)
    return {
        "health": _health(diagnosis),
        "confidence": round(worst.confidence, 3) if worst else 0.0,
        "finding": title_of(worst) if worst else "",
        "summary": worst.summary if worst else "",
        "stage": diagnosis.prescription.stage or "",
        "symptoms": _symptoms(diagnosis),
        "change": change_in_short(changes[0]) if changes else "",
        "more": len(changes) - 1 if changes else 0,
        "loss": spark(run.scalar(TRAIN_LOSS)),
        "validation_loss": spark(run.scalar(VALIDATION_LOSS)),
        **_valued("train", _last(run, TRAIN_LOSS)),
        **_valued("validation", _last(run, VALIDATION_LOSS)),
        **_valued("lr", first_rate(run)),
        **_valued("batch", whole(run.setup.config_number("batch_size"))),
        "optimizer": str(run.setup.optimizer.get("type", "")),
        "settings": _settings(run),
        "steps": run.steps,
        "planned": planned,
        "progress": progress,
        "pace_s": plan.pace_s(run),
        "ended": run.ending.how if run.ending else "finished" if progress == 1.0 else None,
        "ended_by": run.ending.told if run.ending else "",
        "marks_its_end": marks_its_end(run),
        "pause_s": usual_pause_s(run),
    }


def change_in_short(change: Change) -> str:
    """`lr 0.4 → 0.1`, or the remedy's title where there are no numbers."""
    if change.after is None:
        return change.title
    before = "" if change.before is None else f"{shown(change.before)} → "
    return f"{change.setting} {before or '→ '}{shown(change.after)}"


def whole(value: float | None) -> float | None:
    """A whole number as such, so that all its digits are shown."""
    return int(value) if value is not None and value.is_integer() else value


def first_rate(run: Run) -> float | None:
    """The learning rate that the optimizer was given, or the first that was logged."""
    told = run.setup.optimizer_setting("lr")
    series = run.scalar(LR)
    return float(series.values[0]) if told is None and series is not None else told


def _health(diagnosis: Diagnosis) -> str:
    if diagnosis.healthy:
        return "healthy"
    return "critical" if diagnosis.worst is Severity.CRITICAL else "warning"


def _symptoms(diagnosis: Diagnosis) -> list[str]:
    ill = (f for f in diagnosis.findings if f.kind == "symptom" and f.severity is not Severity.INFO)
    return list(dict.fromkeys(finding.id for finding in ill))


def _settings(run: Run) -> dict[str, Setting]:
    """Settings under our names: what the log tells of the training, then whatever else the config holds."""
    every: dict[str, Setting] = dict(settings_of(run).values)
    for name, value in (*run.setup.config.items(), ("model", run.setup.model.get("type"))):
        if isinstance(value, str | int | float):
            every.setdefault(canonical(str(name)), value)
    kept = [(name, value) for name, value in every.items() if value is not None and _is_plain(value)]
    return {name[:LONGEST_SETTING]: _cut(value) for name, value in kept[:MOST_SETTINGS]}


def _is_plain(value: Setting) -> bool:
    return not isinstance(value, float) or bool(np.isfinite(value))


def _cut(value: Setting) -> Setting:
    if isinstance(value, str) and len(value) > LONGEST_SETTING:
        return value[: LONGEST_SETTING - 1] + "…"
    if isinstance(value, int) and abs(value) > 2**53:  # a browser's numbers end there
        return str(value)[:LONGEST_SETTING]
    return value


def _valued(field: str, value: float | None) -> dict[str, float | str | None]:
    """The value to sort by and its text; a value that is no number sorts as missing but is shown."""
    if value is None:
        return {}
    return {field: value if np.isfinite(value) else None, f"{field}_text": shown(value)}


def _last(run: Run, signal: str) -> float | None:
    series = run.scalar(signal)
    return None if series is None else float(series.values[-1])
