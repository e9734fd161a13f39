"""A diagnosis for the terminal, readable on 80 columns and without colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from diagnose.diagnosis import Cause, Change, Diagnosis, Prescription
from diagnose.findings import Finding, Severity
from diagnose.logs.printable import printable
from diagnose.reports.headline import headline, verdict, without_changes
from diagnose.reports.moves import moves_of
from diagnose.reports.numbers import percent, shown
from diagnose.reports.titles import layers_of, title_of

MARKS = {Severity.CRITICAL: "✖", Severity.WARNING: "▲", Severity.INFO: "·", None: "✔"}
STYLES = {Severity.CRITICAL: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "dim", None: "bold green"}
SHOWN_CAUSES = 3
LEAST_SHARE = 0.02  # causes below are left to the other formats
INDENT = 2  # columns


def print_report(diagnosis: Diagnosis, console: Console) -> None:
    """Print the report; everything that comes from the log is printed as it is, never as markup."""
    for part in _parts(diagnosis):
        console.print(part, highlight=False)


def as_text(diagnosis: Diagnosis, width: int = 100) -> str:
    """The report as plain text of at most `width` columns."""
    return _plain(_parts(diagnosis), width)


def prescription_as_text(prescription: Prescription, width: int = 80) -> str:
    """The prescription alone, as plain text of at most `width` columns."""
    return _plain(_moves(prescription), width).rstrip("\n")


def _plain(parts: Iterable[RenderableType], width: int) -> str:
    buffer = StringIO()
    console = Console(file=buffer, width=width, color_system=None, force_terminal=False)
    for part in parts:
        console.print(part, highlight=False)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _parts(diagnosis: Diagnosis) -> Iterator[RenderableType]:
    style = STYLES[None if diagnosis.healthy else diagnosis.worst]
    mark = MARKS[None if diagnosis.healthy else diagnosis.worst]
    yield Text.assemble((f"{mark} {verdict(diagnosis)}", style), f"  {printable(diagnosis.run.path)}")
    yield _indented(Text(headline(diagnosis)))
    ill = [finding for finding in diagnosis.findings if finding.severity is not Severity.INFO]
    if ill:
        yield _section("What was found", [_finding(finding) for finding in ill])
    if diagnosis.causes:
        likely = [c for c in diagnosis.causes[:SHOWN_CAUSES] if c.probability >= LEAST_SHARE]
        yield _section("Why", [_cause(cause) for cause in likely])
    if not diagnosis.healthy or diagnosis.prescription.changes:
        without = [] if diagnosis.prescription.changes else [Text(without_changes(diagnosis))]
        yield _section("What to change", [*without, *_moves(diagnosis.prescription)])
    yield from _asides(diagnosis)


def _indented(part: RenderableType, columns: int = INDENT) -> RenderableType:
    return Padding(part, (0, 0, 0, columns), expand=False)


def _section(title: str, lines: list[RenderableType]) -> RenderableType:
    return Group(Text(f"\n  {title}", style="bold"), *(_indented(line) for line in lines))


def _finding(finding: Finding) -> RenderableType:
    first, last = finding.window
    head = Text.assemble(
        (f"{MARKS[finding.severity]} {title_of(finding)}", STYLES[finding.severity]),
        f"  {finding.severity.value}, {percent(finding.confidence)} sure, steps {first:,}–{last:,}",
    )
    evidence = ", ".join(f"{name.replace('_', ' ')} {shown(value)}" for name, value in finding.evidence.items())
    layers = f"layers: {layers_of(finding)}" if finding.layers else ""
    lines = [Text(finding.summary), *(Text(line, style="dim") for line in (evidence, layers) if line)]
    return Group(head, *map(_indented, lines))


def _cause(cause: Cause) -> RenderableType:
    lines = [
        _indented(Text(f"{'+' if line.log_odds > 0 else '−'} {line.because}", style="dim")) for line in cause.evidence
    ]
    return Group(Text(f"{percent(cause.probability):>6}  {cause.title}"), *(_indented(line, 8) for line in lines))


def _moves(prescription: Prescription) -> Iterator[RenderableType]:
    for number, move in enumerate(moves_of(prescription), start=1):
        yield _change(f"{number}.", move.lead)
        for change in move.coupled:
            yield _indented(_change("└ with it:", change), 3)
    for held in prescription.held_back:
        yield Text(f"Later, once {held.until} is reached: {held.title}", style="dim")
    yield from (Text(note, style="dim") for note in prescription.notes)


def _change(lead: str, change: Change) -> RenderableType:
    head = Text.assemble(
        f"{lead} {change.title}: ", (f"{change.setting}  {shown(change.before)} → {shown(change.after)}", "bold")
    )
    sources = f" [{'; '.join(change.sources)}]" if change.sources else ""
    reason = Text(f"{change.because}{sources}", style="dim")
    told = [f"Watch: {change.watch}"] if change.watch else []
    told += [f"Wrong if: {change.refuted_by}"] if change.refuted_by and change.coupled_to is None else []
    return Group(head, *(_indented(line, 3) for line in (reason, *(Text(line, style="dim") for line in told))))


def _asides(diagnosis: Diagnosis) -> Iterator[RenderableType]:
    """What is worth knowing but no illness."""
    known = [f.summary for f in diagnosis.findings if f.severity is Severity.INFO]
    missing = [f"{name}: {told}" for name, told in diagnosis.missing.items()]
    for title, lines in (
        ("Worth knowing", known),
        ("Not logged, and what it would have told", missing),
        ("About the log", diagnosis.run.notes),
    ):
        if lines:
            yield _section(title, [Text(f"· {line}", style="dim") for line in lines])
    yield Text()
