"""Why: the causes by probability, each with what speaks for it and against it."""

from __future__ import annotations

from typing import Final

from dash import html

from diagnose.dashboard import pieces
from diagnose.dashboard.cards.sources import sources
from diagnose.diagnosis import Cause, Diagnosis, EvidenceLine
from diagnose.reports.numbers import percent, shown

SHOWN: Final = 5  # causes under the fifth share what is left of the evidence


def card(diagnosis: Diagnosis) -> html.Section | None:
    """The likeliest causes with bars, None where nothing needs explaining."""
    if not diagnosis.causes:
        return None
    likeliest, *others = diagnosis.causes[:SHOWN]
    shown = [_cause(likeliest, unfolded=True), *(_cause(cause, unfolded=False) for cause in others)]
    return pieces.card("Why", html.Div(shown, className="causes"))


def _cause(cause: Cause, *, unfolded: bool) -> html.Details:
    bar = html.Div(
        html.Div(style={"width": f"{100 * cause.probability:.1f}%"}), className="bar", **pieces.aria(hidden="true")
    )
    head = html.Summary([html.Span(cause.title), html.Strong(percent(cause.probability), className="number"), bar])
    told = html.P("Weight in log-odds: + speaks for it, − against it.", className="sources")
    return html.Details(
        [head, told, html.Ul([_line(line) for line in cause.evidence])], open=unfolded, className="cause"
    )


def _line(line: EvidenceLine) -> html.Li:
    speaks_for = line.log_odds >= 0
    sign = "for" if speaks_for else "against"
    weight = shown(abs(line.log_odds))
    return html.Li(
        [
            html.Span([pieces.icon("plus" if speaks_for else "minus", sign), weight], className=f"odds odds-{sign}"),
            html.Div([line.because, sources(line.sources)]),
        ],
        title=f"{line.finding.replace('_', ' ')}: {weight} log-odds {sign} it",
    )
