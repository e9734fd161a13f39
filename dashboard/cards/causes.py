"""Why: the causes by probability, each with what speaks for it and against it."""

from __future__ import annotations

from typing import Final

from dash import html

from diagnose.dashboard import pieces
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
    return html.Details([head, html.Ul([_line(line) for line in cause.evidence])], open=unfolded, className="cause")


def _line(line: EvidenceLine) -> html.Li:
    speaks_for = line.log_odds >= 0
    sign = "for" if speaks_for else "against"
    weight = shown(abs(line.log_odds))
    sources = f" ({', '.join(line.sources)})" if line.sources else ""
    return html.Li(
        [
            html.Span([pieces.icon("plus" if speaks_for else "minus", sign), weight], className=f"odds odds-{sign}"),
            html.Span([line.because, html.Span(sources, className="sources")]),
        ],
        title=f"{line.finding}: {weight} log-odds {sign} it",
    )
