"""One run: the verdict, where on the curves, what to change, and why."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

import dash_mantine_components as dmc
from dash import ALL, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate
from plotly.io.json import to_json_plotly

from diagnose.dashboard import addresses, curves
from diagnose.dashboard.cards import causes, findings, prescription, setup, verdict
from diagnose.dashboard.clientside import call_in_browser
from diagnose.dashboard.health import health
from diagnose.dashboard.pieces import hidden, hint, png_button
from diagnose.dashboard.store import Entry, Store

REFRESH_MS: Final = 2000

# Each part of the page is a place that a card is put into; a card is sent again only when it has changed,
# so that what a person has unfolded or selected stays.
PARTS: Final = ("verdict", "problem", "prescription", "causes", "findings", "setup")
PLOTS: Final = tuple(curves.titles())

GRAPH_CONFIG: Final[Any] = {"displaylogo": False, "responsive": True}


def layout(store: Store, name: str) -> html.Div:
    """The page's places; the first refresh fills them."""
    if store.entry(name) is None:
        return _no_such_run()
    return html.Div(
        [
            dcc.Interval(id="run-refresh", interval=REFRESH_MS),
            dcc.Store(id="run-name", data=name),
            dcc.Store(id="run-window"),
            dcc.Store(id="run-shown", data={}),
            dcc.Store(id="run-plots"),
            dcc.Link("← All runs", href=addresses.RUNS, className="back"),
            _place("verdict"),
            _place("problem"),
            html.Div(
                [
                    _plot("loss"),
                    html.Div([_place("prescription"), _place("causes")], className="beside"),
                    html.Div([_plot("lr"), _plot("grad-norm")], className="pair"),
                    _place("findings"),
                ],
                className="columns",
            ),
            html.Div([_plot("layer-grad-norm"), _plot("layer-variance")], className="pair"),
            html.Div([_plot("layer-update"), _plot("layer-zeros")], className="pair"),
            html.Div([_plot("curvature"), _plot("noise")], className="pair"),
            _place("setup"),
        ],
        className="page run-page",
    )


def connect(app: Dash, store: Store) -> None:
    """Fill the page, and fill it again whenever the run, the colours or the shown window change."""

    @app.callback(
        [Output(f"run-{part}", "children") for part in PARTS],
        Output("run-plots", "data"),
        [Output(f"plot-{plot}-card", "style") for plot in PLOTS],
        Output("whole-run", "style"),
        Output("run-shown", "data"),
        Input("run-refresh", "n_intervals"),
        Input("dark", "data"),
        Input("run-window", "data"),
        State("run-name", "data"),
        State("run-shown", "data"),
    )
    def refresh(
        _: int | None,
        dark: bool | None,  # noqa: FBT001  Dash gives what it was connected to, in that order
        window: list[int] | None,
        name: str,
        shown: dict[str, str],
    ) -> tuple[Any, ...]:
        entry = store.entry(name)
        if entry is None:
            raise PreventUpdate  # deleted while open: what was known of it stays on the page
        state = f"{id(entry.diagnosis)} {entry.last_write_s} {entry.activity} {dark} {window}"
        if shown.get("state") == state:
            raise PreventUpdate
        cards = _cards(entry)
        digests = {part: _digest(cards[part]) for part in PARTS}
        children = [no_update if shown.get(part) == digests[part] else cards[part] for part in PARTS]
        drawn = _figures(entry, window, dark=bool(dark))
        styles = [hidden(plot not in drawn) for plot in PLOTS]
        return (*children, drawn, *styles, hidden(window is None), {**digests, "state": state})

    figures = [Output(f"plot-{plot}", "figure") for plot in PLOTS]
    call_in_browser(app, "run.draw", figures, Input("run-plots", "data"))
    call_in_browser(
        app,
        "run.window",
        Output("run-window", "data"),
        Input({"type": "finding", "place": ALL, "window": ALL}, "n_clicks"),
        Input("whole-run", "n_clicks"),
        State("run-window", "data"),
    )


def _place(part: str) -> html.Div:
    return html.Div(id=f"run-{part}", className="place")


def _plot(plot: str) -> html.Section:
    head: list[Any] = [html.H2(curves.titles()[plot], className="card-title")]
    if plot == "loss":
        head.append(dmc.Button("Whole run", id="whole-run", variant="default", size="compact-xs"))
    head.append(png_button(f"plot-{plot}", plot))
    drawing = dcc.Graph(id=f"plot-{plot}", config=GRAPH_CONFIG, responsive=True, style={"height": "100%"})
    graph = html.Div(drawing, className=f"graph graph-{plot}")
    return html.Section(
        [html.Div(head, className="card-head"), graph],
        id=f"plot-{plot}-card",
        className="card",
        style={"display": "none"},
    )


def _cards(entry: Entry) -> dict[str, Component | None]:
    told = entry.diagnosis
    return {
        "verdict": verdict.card(entry),
        "problem": _problem(entry),
        "prescription": prescription.card(told) if told else None,
        "causes": causes.card(told) if told else None,
        "findings": findings.card(told) if told else None,
        "setup": setup.card(told) if told else None,
    }


def _figures(entry: Entry, window: list[int] | None, *, dark: bool) -> dict[str, Any]:
    if entry.diagnosis is None:
        return {}
    steps = (window[0], window[1]) if window else None
    return curves.figures(entry.diagnosis, dark=dark, window=steps, revision=entry.name)


def _problem(entry: Entry) -> html.Div | None:
    if not entry.problem:
        return None
    return hint(
        "This run cannot be read yet" if entry.activity == "live" else "This run cannot be read",
        html.P(entry.problem),
        html.P("The page looks again whenever the run's files change."),
        name=health(entry),
    )


def _no_such_run() -> html.Div:
    return html.Div(
        hint(
            "No run by that name",
            html.P("It may have been moved or deleted since the list was shown."),
            dcc.Link("Back to all runs", href=addresses.RUNS),
            name="unreadable",
        ),
        className="page",
    )


def _digest(card: Component | None) -> str:
    return sha256(str(to_json_plotly(card)).encode()).hexdigest()
