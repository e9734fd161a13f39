"""Notes of a person's own about the run."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from diagnose.dashboard import notes, pieces
from diagnose.dashboard.store import Entry


def card(entry: Entry) -> html.Section:
    """A field with the run's note, and what another page has made of it meanwhile; assets/note.js saves."""
    kept, problem = _kept(entry)
    field = dcc.Textarea(
        id="note",
        value=kept,
        className="note",
        rows=4,
        maxLength=notes.MOST_CHARACTERS,
        placeholder="What you tried, what you think …",
    )
    button = html.Button("Save", id="save-note", type="button", className="plain-button")
    state = html.Span(problem, id="note-state", className="quiet", role="status")
    began_from: dict[str, Any] = {"data-note": entry.name, "data-version": notes.version_of(kept)}
    told = "plain text; kept in your cache, not in the run's folder"
    return pieces.card(
        "Notes",
        html.Div(
            [
                html.Label([html.Span("Your notes on this run", className="unseen"), field]),
                html.Div([button, state], className="note-foot"),
                _other(),
            ],
            **began_from,
        ),
        note=told,
    )


def _other() -> html.Div:
    """The text that stands where this page's should go, and what can be done; empty until there is one."""
    ways = [
        html.Button(word, id=identity, type="button", className="plain-button")
        for identity, word in (("note-mine", "Keep mine"), ("note-theirs", "Take this one"))
    ]
    parts = [
        html.P("Written elsewhere meanwhile:"),
        html.Pre(id="note-other-text"),
        html.Div(ways, className="note-foot"),
    ]
    return html.Div(parts, id="note-other", className="note-other", hidden=True)


def _kept(entry: Entry) -> tuple[str, str]:
    try:
        return notes.read(entry.path), ""
    except notes.NotKeptError as problem:
        return "", str(problem)
