"""One run: the verdict, where on the curves, what to change, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from diagnose.dashboard import addresses, alerts, curves, notes, run_plots, toolbar
from diagnose.dashboard.cards import blackbox, causes, findings, note, prescription, schedule, setup, verdict
from diagnose.dashboard.health import health
from diagnose.dashboard.pieces import digest, hidden, hint, png_button
from diagnose.dashboard.run_plots import graph, plot
from diagnose.dashboard.store import Entry, Store
from diagnose.dashboard.view import LISTS, view_of
from diagnose.run import Run

AWAIT_MS: Final = 2000
REFRESH_MS: Final = 750  # with the store's listing of a second: what is flushed is seen within two

# Each part of the page is a place that a card is put into; a card is sent again only when it has changed,
# so that what a person has unfolded or selected stays.
GONE: Final = "gone"  # instead of what a run's state is told by
PARTS: Final = ("verdict", "problem", "prescription", "causes", "findings", "schedule", "blackbox", "setup")


def layout(store: Store, name: str, search: str = "") -> html.Div:
    """The page's places, as the address's query sets them; the first refresh fills them."""
    entry = store.entry(name)
    if entry is None:
        return _no_such_run(name)
    view = view_of({**addresses.settings(search), **addresses.listed(search, LISTS)})
    return html.Div(
        [
            dcc.Interval(id="run-refresh", interval=REFRESH_MS),
            dcc.Store(id="run-name", data=name),
            dcc.Store(id="run-view"),
            dcc.Store(id="run-shown", data={}),
            dcc.Store(id="run-plots"),
            dcc.Store(id="plots-drawn", data={}),
            dcc.Link("← All runs", href=addresses.RUNS, className="back"),
            alerts.places(),
            _place("verdict"),
            _place("problem"),
            html.Div(
                [
                    html.Div([toolbar.toolbar(view), plot("loss")], className="main-curve"),
                    html.Div([_place("prescription"), _place("causes"), note.card(entry)], className="beside"),
                    html.Div([plot("lr", _place("schedule")), plot("grad-norm")], className="pair"),
                    _place("findings"),
                ],
                className="columns",
            ),
            _place("blackbox"),
            html.Div([plot("box-curves"), plot("box-layers")], className="pair"),
            toolbar.depth_choice(view),
            html.Div([plot("layer-grad-norm"), plot("layer-variance")], className="pair"),
            html.Div([plot("layer-update"), plot("layer-zeros")], className="pair"),
            html.Div([plot("curvature"), plot("noise")], className="pair"),
            _other_signals(toolbar.signal_choice(view)),
            _place("setup"),
        ],
        className="page run-page",
    )


def connect(app: Dash, store: Store) -> None:
    """Fill the page, and fill it again whenever the run, the colours or the view change."""
    run_plots.connect(app, store)
    alerts.connect(app)
    notes.connect(app, store)
    _show_once_begun(app, store)

    @app.callback(
        [Output(f"run-{part}", "children") for part in PARTS],
        Output("run-shown", "data"),
        Output("critical-now", "data"),
        Output("toolbar", "style"),
        Output("depth", "data"),
        Output("depth-choice", "style"),
        Output("signals", "data"),
        Output("other-signals", "style"),
        Input("run-refresh", "n_intervals"),
        State("run-name", "data"),
        State("run-shown", "data"),
        running=[(Output("run-refresh", "disabled"), True, False)],  # a slow answer is waited for, not overtaken
    )
    def refresh(_: int | None, name: str, shown: dict[str, str]) -> tuple[Any, ...]:
        entry = store.entry(name)
        if entry is None:
            return _gone(shown)
        state = f"{entry.version} {entry.last_write_s} {entry.activity}"
        if shown.get("state") == state:
            raise PreventUpdate
        cards = _cards(entry)
        digests = {part: digest(cards[part]) for part in PARTS}
        children = [no_update if shown.get(part) == digests[part] else cards[part] for part in PARTS]
        return (*children, {**digests, "state": state}, alerts.critical(entry), *_choices(entry))


def _gone(shown: Mapping[str, str]) -> tuple[Any, ...]:
    """The answer for a run that was deleted while its page was open: what was known of it stays."""
    if shown.get("state") == GONE:
        raise PreventUpdate
    told = html.Div(
        hint(
            "This run is gone",
            html.P("Its files were moved or deleted. The page shows what was known of it until then."),
            dcc.Link("Back to all runs", href=addresses.RUNS),
            name="unreadable",
        ),
        className="run-gone",
    )
    children = [told if part == "problem" else no_update for part in PARTS]
    return (*children, {**shown, "problem": GONE, "state": GONE}, *[no_update] * 6)


def _choices(entry: Entry) -> tuple[Any, ...]:
    """What can be chosen about this run's plots, its layers and other signals."""
    run = entry.diagnosis.run if entry.diagnosis else Run(entry.path)
    others = curves.other_signals(run)
    return hidden(bool(entry.problem)), toolbar.depths(run), hidden(not run.layer_signals), others, hidden(not others)


def _place(part: str) -> html.Div:
    return html.Div(id=f"run-{part}", className="place")


def _other_signals(choice: Component) -> html.Section:
    head = html.Div(html.H2(run_plots.TITLES["other"], className="card-title"), className="card-head")
    tools = html.Div(png_button("plot-other", "other"), className="card-head card-tools")
    drawing = html.Div([tools, graph("other")], id="plot-other-card", style=hidden(hide=True))
    return html.Section([head, choice, drawing], id="other-signals", className="card", style=hidden(hide=True))


def _cards(entry: Entry) -> dict[str, Component | None]:
    told = entry.diagnosis
    return {
        "verdict": verdict.card(entry),
        "problem": _problem(entry),
        "prescription": prescription.card(told) if told else None,
        "causes": causes.card(told) if told else None,
        "findings": findings.card(told) if told else None,
        "schedule": schedule.card(told) if told else None,
        "blackbox": blackbox.card(told) if told else None,
        "setup": setup.card(told) if told else None,
    }


def _problem(entry: Entry) -> html.Div | None:
    if not entry.problem:
        return None
    return hint(
        "This run cannot be read yet" if entry.activity == "live" else "This run cannot be read",
        html.P(entry.problem),
        html.P("The page looks again whenever the run's files change."),
        name=health(entry),
    )


def _no_such_run(name: str) -> html.Div:
    return html.Div(
        [
            dcc.Interval(id="run-awaited-refresh", interval=AWAIT_MS),
            dcc.Store(id="run-awaited", data=name),
            hint(
                "No run by that name",
                html.P("It may have been moved or deleted since the list was shown, or not have begun."),
                html.P("The page shows the run as soon as there is one."),
                dcc.Link("Back to all runs", href=addresses.RUNS),
                name="unreadable",
            ),
        ],
        className="page",
    )


def _show_once_begun(app: Dash, store: Store) -> None:
    @app.callback(
        Output("page", "children", allow_duplicate=True),  # as the frame puts a page there
        Input("run-awaited-refresh", "n_intervals"),
        State("run-awaited", "data"),
        State("address", "search"),
        prevent_initial_call=True,
    )
    def begin(_: int, name: str, search: str | None) -> html.Div:
        if store.entry(name) is None:
            raise PreventUpdate
        return layout(store, name, search or "")
