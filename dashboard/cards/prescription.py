"""What to change: each move is one change and what is coupled to it, with numbers, reason and sources."""

from __future__ import annotations

from typing import Any

from dash import html

from diagnose.dashboard import pieces
from diagnose.diagnosis import Change, Diagnosis, HeldBack, Prescription
from diagnose.reports.numbers import shown


def card(diagnosis: Diagnosis) -> html.Section:
    """The prescription's moves in order, and the advice that waits."""
    prescription = diagnosis.prescription
    if not prescription.changes:
        return pieces.card("What to change", html.P(_nothing(diagnosis), className="quiet"))
    moves: list[Any] = [_move(position, move) for position, move in enumerate(_moves(prescription), start=1)]
    if prescription.held_back:
        moves.append(_later(prescription.held_back))
    stage = f"stage: {prescription.stage}" if prescription.stage else ""
    return pieces.card("What to change", html.Div(moves, className="moves"), note=stage)


def _nothing(diagnosis: Diagnosis) -> str:
    if diagnosis.healthy:
        return "Nothing: no finding calls for a change."
    return "No change follows from these findings with enough certainty. Look at the evidence below."


def _moves(prescription: Prescription) -> list[list[Change]]:
    """The changes by move: each leader with all that it pulls along, directly or through another."""
    by_remedy = {change.remedy: change for change in prescription.changes}

    def leader(change: Change) -> str:
        seen = set()
        while change.coupled_to in by_remedy and change.remedy not in seen:
            seen.add(change.remedy)
            change = by_remedy[change.coupled_to]
        return change.remedy

    moves: dict[str, list[Change]] = {}
    for change in prescription.changes:
        moves.setdefault(leader(change), []).append(change)
    return list(moves.values())


def _move(position: int, move: list[Change]) -> html.Article:
    first, *coupled = move
    parts = [html.Div(f"Move {position}", className="eyebrow"), _change(first)]
    if coupled:
        parts.append(html.Div("and together with it", className="coupled-label"))
        parts.append(html.Div([_change(change) for change in coupled], className="coupled"))
    return html.Article(parts, className="move")


def _change(change: Change) -> html.Div:
    return html.Div(
        [
            html.H3(change.title, className="change-title"),
            _from_to(change),
            html.P(change.because, className="because"),
            html.P([html.B("Watch: "), change.watch], className="watch") if change.watch else None,
            html.P([html.B("Wrong if: "), change.refuted_by], className="watch")
            if change.refuted_by and change.coupled_to is None
            else None,
            html.P("Sources: " + ", ".join(change.sources), className="sources") if change.sources else None,
        ],
        className="change",
    )


def _from_to(change: Change) -> html.Div | None:
    if change.after is None:
        return None
    return html.Div(
        [
            html.Code(change.setting, className="setting"),
            html.Span("not set" if change.before is None else shown(change.before), className="before"),
            html.Span("→", className="arrow", **pieces.aria(label="to")),
            html.Strong(shown(change.after), className="after"),
        ],
        className="from-to",
    )


def _later(held_back: tuple[HeldBack, ...]) -> html.Div:
    items = [html.Li([advice.title, html.Span(f" after {advice.until}", className="quiet")]) for advice in held_back]
    return html.Div([html.H3("Later", className="eyebrow"), html.Ul(items)], className="later")
