"""The plots of a run's page: their places, what a person may set about them, and how they follow run and view."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from dash import ALL, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from diagnose.dashboard import blackbox, curves, heatmaps, schedule_plot
from diagnose.dashboard.captions import caption
from diagnose.dashboard.clientside import call_in_browser
from diagnose.dashboard.failures import drawn_or_told
from diagnose.dashboard.pieces import GRAPH_CONFIG, digest, hidden, png_button
from diagnose.dashboard.store import Entry, Store
from diagnose.dashboard.view import View, view_of
from diagnose.diagnosis import Diagnosis

TITLES: Final = {**curves.TITLES, **heatmaps.TITLES, **blackbox.TITLES}
OVER_STEPS: Final = (*curves.TITLES, *heatmaps.TITLES)  # zoomed together
CONFIG: Final[Any] = {
    **GRAPH_CONFIG,
    "doubleClick": "autosize",
    "modeBarButtonsToRemove": ["toImage", "select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
}


def plot(name: str, *beside: Component, title: str = "") -> html.Section:
    """A card for one plot, not to be seen before it is drawn; `beside` stands under it."""
    head = [html.H2(title or TITLES[name], className="card-title"), png_button(f"plot-{name}", name)]
    return html.Section(
        [html.Div(head, className="card-head"), graph(name), *beside],
        id=f"plot-{name}-card",
        className="card",
        style=hidden(hide=True),
    )


def graph(name: str) -> html.Div:
    """The drawing alone."""
    drawing = dcc.Graph(id=f"plot-{name}", config=CONFIG, responsive=True, style={"height": "100%"})
    return html.Div(drawing, className=f"graph graph-{name}")


def connect(app: Dash, store: Store) -> None:
    """Draw the plots, and again those that the run's growth, a zoom or a setting has changed."""

    @app.callback(
        Output("run-plots", "data"),
        Input("run-shown", "data"),
        Input("dark", "data"),
        Input("run-view", "data"),
        State("run-name", "data"),
        State("plots-drawn", "data"),
    )
    def draw(
        _: dict[str, str] | None,
        dark: bool | None,  # noqa: FBT001  Dash gives what it was connected to, in that order
        told: Mapping[str, str] | None,
        name: str,
        drawn: dict[str, Any],
    ) -> dict[str, Any]:
        """What is to be drawn, with the view that it was made for, and when it was asked for."""
        asked_s = time.time()
        entry = store.entry(name)
        if entry is None or entry.diagnosis is None or dark is None or told is None:
            raise PreventUpdate
        state = f"{entry.version} {dark} {sorted(told.items())}"
        if drawn.get("state") == state:
            raise PreventUpdate
        view = view_of(told)
        figures = _figures(entry, entry.diagnosis, view, dark=dark)
        digests = {plot: digest(figure) for plot, figure in figures.items()}
        changed = {plot: figure for plot, figure in figures.items() if drawn.get(plot) != digests[plot]}
        return {
            "view": told,
            "figures": changed,
            "styles": {plot: hidden(plot not in figures) for plot in TITLES},
            "caption": caption(entry.diagnosis, view),
            "drawn": {**digests, "state": state, "asked_s": asked_s},
        }

    figures = [Output(f"plot-{name}", "figure") for name in TITLES]
    styles = [Output(f"plot-{name}-card", "style") for name in TITLES]
    beside = [Output("plots-caption", "children"), Output("plots-drawn", "data")]
    seen = [State("run-view", "data"), State("plots-drawn", "data")]
    call_in_browser(app, "run.draw", *figures, *styles, *beside, Input("run-plots", "data"), *seen)
    call_in_browser(
        app,
        "run.view",
        Output("run-view", "data"),
        Input({"type": "finding", "place": ALL, "window": ALL}, "n_clicks"),
        Input("whole-run", "n_clicks"),
        Input("axis", "value"),
        Input("smooth", "value"),
        Input("depth", "value"),
        Input("signals", "value"),
        Input("open", "value"),
        Input("first-step", "n_submit"),
        Input("first-step", "n_blur"),
        Input("last-step", "n_submit"),
        Input("last-step", "n_blur"),
        [Input(f"plot-{name}", "relayoutData") for name in OVER_STEPS],
        State("first-step", "value"),
        State("last-step", "value"),
        State("run-view", "data"),
        at_start=True,
    )
    maps = [Input(f"plot-{name}", "figure") for name in heatmaps.TITLES]
    call_in_browser(app, "run.groups", Output("open", "data"), Output("open-choice", "style"), *maps)
    shown = [Output("first-step", "value"), Output("last-step", "value"), Output("whole-run", "style")]
    call_in_browser(app, "run.steps", shown, Input("run-view", "data"), at_start=True)


def _figures(entry: Entry, diagnosis: Diagnosis, view: View, *, dark: bool) -> dict[str, Any]:
    lines = curves.figures(diagnosis, view, dark=dark, revision=entry.name)
    if "lr" in lines:
        lines["lr"] = drawn_or_told(partial(schedule_plot.with_recommended, lines["lr"], diagnosis, dark=dark))
    maps = heatmaps.figures(diagnosis.run, view, dark=dark, revision=entry.name)
    return {**lines, **maps, **blackbox.figures(diagnosis, view, dark=dark)}
