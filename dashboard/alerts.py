"""Tells of a critical finding that the open run did not have before: on the page, and by the browser if asked to."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, State, dcc, html

from diagnose.dashboard.clientside import call_in_browser
from diagnose.dashboard.pieces import aria, hidden
from diagnose.dashboard.store import Entry
from diagnose.findings import Severity
from diagnose.reports.titles import title_of


def places() -> html.Div:
    """Where alerts appear, and the button that asks for the browser's own; the browser is never asked unasked."""
    return html.Div(
        [
            dcc.Store(id="critical-now"),
            dcc.Store(id="critical-known"),
            html.Div(id="toasts", className="toasts", role="alert", **aria(live="assertive")),
            html.Button(
                "Notify me when this run turns critical",
                id="notify-me",
                type="button",
                className="plain-button",
                style=hidden(hide=True),
            ),
            html.Span(id="notify-state", className="quiet", role="status"),
        ],
        className="alerts",
    )


def critical(entry: Entry) -> dict[str, Any] | None:
    """The run's critical findings as the browser compares them; None while it was not examined."""
    if entry.diagnosis is None:
        return None
    worst = [found for found in entry.diagnosis.findings if found.severity is Severity.CRITICAL]
    told = [{"id": found.id, "title": title_of(found), "summary": found.summary} for found in worst]
    return {"run": entry.name, "live": entry.activity in {"live", "stalled", "silent"}, "findings": told}


def connect(app: Dash) -> None:
    """Compare what is critical now with what was, in the browser: each open page tells for itself."""
    outputs = [Output("critical-known", "data"), Output("notify-me", "style")]
    call_in_browser(app, "alerts.tell", outputs, Input("critical-now", "data"), State("critical-known", "data"))
    call_in_browser(app, "alerts.ask", Output("notify-state", "children"), Input("notify-me", "n_clicks"))
