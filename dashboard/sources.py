"""Where a piece of advice comes from: each claim that it rests on, opened in place."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from diagnose.knowledge import documents, known_rows, rows_in


def told(sources: Sequence[str]) -> html.Details | html.P | None:
    """The sources in one line; unfolded, what the documents claim there."""
    if not sources:
        return None
    line = "Sources: " + ", ".join(sources)
    rows = [known_rows()[name] for name in rows_in(line) if name in known_rows()]
    if not rows:
        return html.P(line, className="sources")
    claims = [
        html.Div(
            [
                html.Dt(row.id),
                html.Dd([row.claim, html.Span("; ".join(map(_whole_title, row.sources)), className="told-in")]),
            ]
        )
        for row in rows
    ]
    return html.Details([html.Summary(line), html.Dl(claims)], className="sources")


def _whole_title(source: str) -> str:
    name = next((document for document in documents() if source.startswith(document)), "")
    return f"{documents()[name]}{source.removeprefix(name)}" if name else source
