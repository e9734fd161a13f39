"""The one sentence on top of every view."""

from __future__ import annotations

from diagnose.diagnosis import Diagnosis
from diagnose.findings import Severity
from diagnose.reports.numbers import percent, shown
from diagnose.reports.titles import title_of
from diagnose.run import Run, Series
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

REACHES = 0.9  # of the run's steps: a loss logged up to there speaks for the whole run
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
    run = diagnosis.run
    told = _furthest_loss(run)
    if told is None:
        return "No symptom was found."
    name, loss = told
    first, last, end = float(loss.values[0]), float(loss.values[-1]), int(loss.steps[-1])
    over = f"over {run.steps:,} steps" if end >= REACHES * run.steps else f"up to step {end:,} of {run.steps:,}"
    return f"The {name} {'fell' if last < first else 'went'} from {shown(first)} to {shown(last)} {over}."


def _furthest_loss(run: Run) -> tuple[str, Series] | None:
    """The training loss where it was logged to the end, else the loss that was logged longest."""
    logged = [
        (name, series.finite)
        for name, signal in (("training loss", TRAIN_LOSS), ("validation loss", VALIDATION_LOSS))
        if (series := run.scalar(signal)) is not None and len(series.finite)
    ]
    whole = [told for told in logged if told[1].steps[-1] >= REACHES * run.steps]
    return whole[0] if whole else max(logged, key=lambda told: int(told[1].steps[-1]), default=None)


def without_changes(diagnosis: Diagnosis) -> str:
    """What stands in place of the changes where none is prescribed."""
    if diagnosis.healthy:
        return "Nothing. Keep these settings."
    return "The log does not tell enough to name a change; look at the findings and at what was not logged."
