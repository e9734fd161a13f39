"""What a halted training says: in one message what was found, where, and what to change."""

from __future__ import annotations

from diagnose.diagnosis import Change, Diagnosis
from diagnose.findings import Finding
from diagnose.reports.moves import Move, moves_of
from diagnose.reports.numbers import percent, shown
from diagnose.reports.titles import layers_of, title_of

MOST_MOVES = 3  # the report has the rest


def halting_message(finding: Finding, diagnosis: Diagnosis | None = None) -> str:
    """The message for a finding; with the run's diagnosis also its cause, the changes, and where the report is."""
    first, last = finding.window
    when = f"at step {last:,}" if first == last else f"at steps {first:,}–{last:,}"
    where = f", layer{'s' * (len(finding.layers) > 1)} {layers_of(finding)}" if finding.layers else ""
    sure = f"{finding.severity.value}, {percent(finding.confidence)} sure"
    parts = [f"Halted by {finding.id}: {title_of(finding)} {when}{where} ({sure})", finding.summary.rstrip(".")]
    if diagnosis is not None:
        parts += [f"Likeliest cause: {cause.title} ({percent(cause.probability)})" for cause in diagnosis.causes[:1]]
        moves = moves_of(diagnosis.prescription)[:MOST_MOVES]
        parts += [f"To change: {'; then '.join(map(_told, moves))}"] if moves else []
        parts += [f"All of it: diagnose report {diagnosis.run.path}"]
    return ". ".join(parts) if diagnosis is not None else f"{'. '.join(parts)}."


def _told(move: Move) -> str:
    coupled = ", ".join(map(_change, move.coupled))
    return f"{_change(move.lead)}{f' and with it {coupled}' if coupled else ''}"


def _change(change: Change) -> str:
    before = f" {shown(change.before)} →" if change.before is not None else ":"
    return f"{change.setting}{before} {shown(change.after)}"
