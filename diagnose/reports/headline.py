"""The one sentence on top of every view."""

from __future__ import annotations

from diagnose.diagnosis import Diagnosis
from diagnose.findings import Severity
from diagnose.reports.numbers import percent, shown
from diagnose.reports.titles import title_of
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

WORDS = {Severity.CRITICAL: "Critical", Severity.WARNING: "Warning", Severity.INFO: "Healthy", None: "Healthy"}


def verdict(diagnosis: Diagnosis) -> str:
    """One word: Critical, Warning or Healthy."""
    return WORDS[diagnosis.worst]


def headline(diagnosis: Diagnosis) -> str:
    """What is wrong and the likeliest cause, or how the loss fell where nothing is wrong (K05)."""
    if diagnosis.healthy:
        return f"{_fall(diagnosis)} Nothing has to change."
    ill = [finding for finding in diagnosis.findings if finding.severity is diagnosis.worst]
    others = f", and {len(ill) - 1} more with it" if len(ill) > 1 else ""
    symptom = f"{title_of(ill[0])}{others}."
    if not diagnosis.causes:
        return symptom
    cause = diagnosis.causes[0]
    return f"{symptom} Likeliest cause: {cause.title[:1].lower()}{cause.title[1:]} ({percent(cause.probability)})."


def _fall(diagnosis: Diagnosis) -> str:
    loss = diagnosis.run.scalar(TRAIN_LOSS) or diagnosis.run.scalar(VALIDATION_LOSS)
    if loss is None or not len(loss.finite):
        return "No symptom was found."
    first, last = float(loss.finite.values[0]), float(loss.finite.values[-1])
    verb = "fell" if last < first else "went"
    name = "training loss" if diagnosis.run.scalar(TRAIN_LOSS) is not None else "validation loss"
    return f"The {name} {verb} from {shown(first)} to {shown(last)} over {diagnosis.run.steps:,} steps."


def without_changes(diagnosis: Diagnosis) -> str:
    """What stands in place of the changes where none is prescribed."""
    if diagnosis.healthy:
        return "Nothing. Keep these settings."
    return "The log does not tell enough to name a change; look at the findings and at what was not logged."
