"""A diagnosis as Markdown, for a pull request or a chat."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from diagnose.diagnosis import Cause, Change, Diagnosis, Prescription
from diagnose.findings import Finding, Severity
from diagnose.logs.printable import printable
from diagnose.reports.headline import headline, verdict, without_changes
from diagnose.reports.moves import moves_of
from diagnose.reports.numbers import percent, shown
from diagnose.reports.titles import title_of
from diagnose.reports.weighing import weighing

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&$])")


def as_markdown(diagnosis: Diagnosis) -> str:
    """The diagnosis as Markdown; whatever comes from the log is escaped."""
    return "\n".join(_lines(diagnosis)) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", printable(" ".join(text.split()))).replace("\\<", "&lt;").replace("\\>", "&gt;")


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    yield f"# {verdict(diagnosis)}: {escaped(diagnosis.run.path)}"
    yield f"\n{escaped(headline(diagnosis))}"
    ill = [finding for finding in diagnosis.findings if finding.severity is not Severity.INFO]
    if ill:
        yield "\n## What was found\n\n| symptom | severity | sure | steps | what was seen |\n|---|---|---|---|---|"
        yield from map(_finding_row, ill)
    if diagnosis.causes:
        yield "\n## Why\n"
        for cause in diagnosis.causes:
            reasons = "; ".join(escaped(line.because) for line in cause.evidence if line.log_odds > 0)
            yield f"- **{percent(cause.probability)}** {escaped(cause.title)}: {reasons}"
        yield from _weighing(diagnosis.causes)
    if not diagnosis.healthy or diagnosis.prescription.changes:
        yield "\n## What to change\n"
        if not diagnosis.prescription.changes:
            yield without_changes(diagnosis)
        yield from _moves(diagnosis.prescription)
    known = [finding.summary for finding in diagnosis.findings if finding.severity is Severity.INFO]
    missing = [f"{name}: would have told {told}." for name, told in diagnosis.missing.items()]
    for title, notes in (("Worth knowing", known), ("Not logged", missing), ("About the log", diagnosis.run.notes)):
        if notes:
            yield f"\n## {title}\n"
            yield from (f"- {escaped(note)}" for note in notes)


def _weighing(causes: Sequence[Cause]) -> Iterator[str]:
    table = weighing(causes)
    yield "\nHow they were weighed, in log-odds:\n"
    yield f"| | {' | '.join(map(escaped, table.columns))} |\n|---|{'---:|' * len(table.columns)}"
    yield from (f"| {escaped(name)} | {' | '.join(cells)} |" for name, cells in table.rows)


def _finding_row(finding: Finding) -> str:
    first, last = finding.window
    cells = (
        title_of(finding),
        finding.severity.value,
        percent(finding.confidence),
        f"{first:,}–{last:,}",
        finding.summary,
    )
    return f"| {' | '.join(escaped(cell) for cell in cells)} |"


def prescription_as_markdown(prescription: Prescription) -> str:
    """The prescription alone."""
    return "\n".join(_moves(prescription))


def _moves(prescription: Prescription) -> Iterator[str]:
    for number, move in enumerate(moves_of(prescription), start=1):
        yield f"{number}. {_change(move.lead)}"
        yield from (f"   - with it: {_change(change)}" for change in move.coupled)
    for held in prescription.held_back:
        yield f"- later, once {held.until} is reached: {escaped(held.title)}"
    yield from (f"- {escaped(note)}" for note in prescription.notes)


def _change(change: Change) -> str:
    values = f"{escaped(change.setting)}: {escaped(shown(change.before))} → {escaped(shown(change.after))}"
    watch = f" Watch: {escaped(change.watch)}" if change.watch else ""
    refuted = f" Wrong if: {escaped(change.refuted_by)}" if change.refuted_by and not change.coupled_to else ""
    sources = f" *({escaped('; '.join(change.sources))})*" if change.sources else ""
    return f"**{escaped(change.title)}** ({values}). {escaped(change.because)}{watch}{refuted}{sources}"
