"""Sources that open: what the cited rows of the knowledge base say, and in which document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html

from diagnose.knowledge import KnowledgeRow, cited, documents


def sources(told: Sequence[str]) -> html.Details | html.P | None:
    """The sources as given, opening to the rows they cite; plain text where they cite none."""
    if not told:
        return None
    line = "Sources: " + ", ".join(told)
    rows = cited(told)
    if not rows:
        return html.P(line, className="sources")
    items = [part for row in rows for part in (html.Dt(row.id), html.Dd(_says(row)))]
    return html.Details([html.Summary(line), html.Dl(items)], className="sources")


def _says(row: KnowledgeRow) -> list[Any]:
    note = html.Div(f"To be read with care: {row.note}") if row.note else None
    return [row.claim, html.Div("; ".join(_document(source) for source in row.sources), className="quiet"), note]


def _document(source: str) -> str:
    """A source (deep-dive §2) with the document's title for its short name."""
    name, _, section = source.partition(" ")
    return f"{documents()[name]} {section}".strip() if name in documents() else source
