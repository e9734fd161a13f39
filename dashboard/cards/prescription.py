"""What to change: each move is one change and what is coupled to it, with numbers, reason and sources."""

from __future__ import annotations

from typing import Any

from dash import html

from diagnose.dashboard import pieces
from diagnose.dashboard.cards.sources import sources
from diagnose.diagnosis import Change, Diagnosis, HeldBack, Prescription
from diagnose.handover import snippets
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS
from diagnose.reports.moves import Move, moves_of
from diagnose.reports.numbers import shown


def card(diagnosis: Diagnosis) -> html.Section:
    """The prescription's moves in order, and the advice that waits."""
    prescription = diagnosis.prescription
    if not prescription.changes:
        return pieces.card("What to change", html.P(_nothing(diagnosis), className="quiet"))
    stage = f"stage: {prescription.stage}" if prescription.stage else ""
    parts = [*moves(prescription), to_paste(prescription)]
    return pieces.card("What to change", html.Div(parts, className="moves"), note=stage)


def to_paste(prescription: Prescription) -> html.Details:
    """The changes as lines for a program, each with a button that copies them."""
    written = {
        "python": ("Python", snippets.as_python(prescription)),
        "yaml": ("YAML", snippets.as_yaml(prescription)),
        "optuna": ("Optuna", snippets.as_optuna(prescription)),
    }
    blocks = [
        html.Div(
            [
                html.Div([html.H4(title), _copy(title)]),
                html.Pre(text),
            ],
            className="snippet",
        )
        for title, text in written.values()
    ]
    return html.Details([html.Summary("Copy as Python, YAML or Optuna"), *blocks], className="snippets")


def _copy(title: str) -> html.Button:
    """A button that assets/copy.js connects to the lines below it."""
    told: dict[str, Any] = {"data-copy": title}
    return html.Button("Copy", type="button", className="plain-button", **told, **pieces.aria(label=f"Copy as {title}"))


def _nothing(diagnosis: Diagnosis) -> str:
    if diagnosis.healthy:
        return "Nothing: no finding calls for a change."
    return "No change follows from these findings with enough certainty. Look at the evidence below."


def moves(prescription: Prescription) -> list[Any]:
    """Each move as an article, and the advice that waits."""
    every = moves_of(prescription)
    shown_moves: list[Any] = [_move(position, move, len(every)) for position, move in enumerate(every, start=1)]
    return [*shown_moves, _later(prescription.held_back)] if prescription.held_back else shown_moves


def _move(position: int, move: Move, several: int) -> html.Article:
    parts = [
        html.Div(f"Move {position} of {several}", className="eyebrow") if several > 1 else None,
        _change(move.lead),
    ]
    if move.coupled:
        parts.append(html.Div("and together with it", className="coupled-label"))
        parts.append(html.Div([_change(change) for change in move.coupled], className="coupled"))
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
            sources(change.sources),
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
            html.Span(_unit(change), className="quiet"),
        ],
        className="from-to",
    )


def _unit(change: Change) -> str:
    known = HYPERPARAMETERS.get(change.setting)
    return known.unit if known is not None and not isinstance(change.after, str) else ""


def _later(held_back: tuple[HeldBack, ...]) -> html.Div:
    items = [html.Li([advice.title, html.Span(f" after {advice.until}", className="quiet")]) for advice in held_back]
    return html.Div([html.H3("Later", className="eyebrow"), html.Ul(items)], className="later")
