"""Why: the causes by probability, each with what speaks for it and against it, and all of them weighed together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dash import html

from diagnose.dashboard import pieces
from diagnose.dashboard.cards.sources import sources
from diagnose.diagnosis import Cause, Diagnosis, EvidenceLine
from diagnose.reports.numbers import percent
from diagnose.reports.weighing import FIRST, SIDE_BY_SIDE, weighing

SHOWN: Final = 5  # causes under the fifth share what is left of the evidence


def card(diagnosis: Diagnosis) -> html.Section | None:
    """The likeliest causes with bars, None where nothing needs explaining."""
    if not diagnosis.causes:
        return None
    likeliest, *others = diagnosis.causes[:SHOWN]
    shown: list[Any] = [_cause(likeliest, unfolded=True), *(_cause(cause, unfolded=False) for cause in others)]
    if others:
        shown.append(_together(diagnosis.causes))
    return pieces.card("Why", html.Div(shown, className="causes"))


def _cause(cause: Cause, *, unfolded: bool) -> html.Details:
    bar = html.Div(
        html.Div(style={"width": f"{100 * cause.probability:.1f}%"}), className="bar", **pieces.aria(hidden="true")
    )
    head = html.Summary([html.Span(cause.title), html.Strong(percent(cause.probability), className="number"), bar])
    return html.Details([head, _evidence(cause)], open=unfolded, className="cause")


def _evidence(cause: Cause) -> html.Table:
    """What was added up, line by line: where the cause starts from, what each finding adds, and what that gives."""
    total = cause.prior + sum(line.log_odds for line in cause.evidence)
    head = html.Tr([html.Th("log-odds", scope="col"), html.Th("what speaks for it (+) or against it (−)", scope="col")])
    first = html.Tr([html.Td(_signed(cause.prior)), html.Td(f"{FIRST}: how common it is")], className="quiet")
    last = html.Tr([html.Td(_signed(total)), html.Td(f"sum, {percent(cause.probability)} beside the other causes")])
    rows = [first, *(_line(line) for line in cause.evidence)]
    return html.Table(
        [html.Caption(f"Evidence: {cause.title}"), html.Thead(head), html.Tbody(rows), html.Tfoot(last)],
        className="facts weights",
    )


def _line(line: EvidenceLine) -> html.Tr:
    sign = "for" if line.log_odds >= 0 else "against"
    name = html.Strong(line.finding.replace("_", " "))
    weight = html.Td(_signed(line.log_odds), className=f"odds-{sign}")
    return html.Tr([weight, html.Td([name, html.Div(line.because), sources(line.sources)])])


def _together(causes: Sequence[Cause]) -> html.Details:
    """Every finding against the likeliest causes: which of them tells the causes apart."""
    told = weighing(causes)
    head = html.Tr([html.Td(), *(html.Th(title, scope="col") for title in told.columns)])
    body = [html.Tr([html.Th(name, scope="row"), *map(html.Td, cells)]) for name, cells in told.rows]
    caption = f"The {min(len(causes), SIDE_BY_SIDE)} likeliest causes side by side, in log-odds"
    table = html.Table([html.Caption(caption), html.Thead(head), html.Tbody(body)], className="facts together")
    return html.Details([html.Summary(f"{caption} …"), pieces.scrolls(table, caption)], className="snippets")


def _signed(weight: float) -> str:
    return f"{weight:+.2g}".replace("-", "−")
