"""The findings: each a button that shows its steps on the curves, with the numbers to check there."""

from __future__ import annotations

from typing import Final

from dash import html

from diagnose.dashboard import pieces
from diagnose.dashboard.curves import steps_around
from diagnose.diagnosis import Diagnosis
from diagnose.findings import Finding
from diagnose.reports.numbers import shown
from diagnose.reports.titles import title_of

SHOWN_LAYERS: Final = 6


def card(diagnosis: Diagnosis) -> html.Section:
    """All findings, worst first."""
    if not diagnosis.findings:
        return pieces.card("Findings", html.P("None: every check that this log allows has passed.", className="quiet"))
    buttons = [html.Li(_finding(diagnosis, finding, place)) for place, finding in enumerate(diagnosis.findings)]
    return pieces.card(
        "Findings", html.Ul(buttons, className="findings"), note="select one to see its steps on the curves"
    )


def _finding(diagnosis: Diagnosis, finding: Finding, place: int) -> html.Button:
    first, last = finding.window
    around = steps_around(finding.window, diagnosis.run)
    level = finding.severity.value
    return html.Button(
        [
            html.Span([pieces.icon(level), level], className=f"health health-{level}"),
            html.Span(title_of(finding), className="finding-title"),
            html.Span(f"steps {first:,} – {last:,}", className="finding-window number"),
            html.Span(finding.summary, className="finding-summary"),
            html.Span([_number(name, value) for name, value in _evidence(finding)], className="evidence"),
        ],
        id={"type": "finding", "place": place, "window": f"{around[0]} {around[1]}"},
        className="finding",
        type="button",
    )


def _evidence(finding: Finding) -> list[tuple[str, str]]:
    told = [(name.replace("_", " "), shown(v)) for name, v in finding.evidence.items()]
    told.append(("confidence", shown(finding.confidence)))
    if finding.layers:
        more = len(finding.layers) - SHOWN_LAYERS
        named = ", ".join(finding.layers[:SHOWN_LAYERS]) + (f" and {more} more" if more > 0 else "")
        told.append(("layers", named))
    return told


def _number(name: str, value: str) -> html.Span:
    return html.Span(
        [html.Span(name, className="evidence-name"), html.Span(value, className="number")], className="evidence-item"
    )
