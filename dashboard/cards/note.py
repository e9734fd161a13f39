"""Notes of a person's own about the run."""

from __future__ import annotations

from dash import dcc, html

from diagnose.dashboard import notes, pieces


def card() -> html.Section:
    """A field for text, saved when it is left or by a button."""
    field = dcc.Textarea(
        id="note",
        className="note",
        rows=4,
        maxLength=notes.MOST_CHARACTERS,
        placeholder="What you tried, what you think …",
    )
    button = html.Button("Save", id="save-note", type="button", className="plain-button")
    state = html.Span(id="note-state", className="quiet", role="status")
    told = "plain text; kept in your cache, not in the run's folder"
    return pieces.card(
        "Notes",
        html.Div(
            [
                html.Label([html.Span("Your notes on this run", className="unseen"), field]),
                html.Div([button, state], className="note-foot"),
            ]
        ),
        note=told,
    )
