"""Up to ten runs side by side: their curves in one plot, what differs in their set-up, and what explains it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.exceptions import PreventUpdate

from diagnose.comparing.comparison import Comparison, compared
from diagnose.comparing.settings import INCIDENTAL, same, told
from diagnose.dashboard import addresses, overlay
from diagnose.dashboard.health import health
from diagnose.dashboard.pieces import aria, badge, card, hint
from diagnose.dashboard.store import Entry, Store
from diagnose.diagnosis import Setting
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS
from diagnose.reports.comparison import headline
from diagnose.reports.numbers import percent, shown
from diagnose.signals import TRAIN_LOSS

REFRESH_MS: Final = 2000
PAIR: Final = 2
GRAPH_CONFIG: Final[Any] = {"displaylogo": False, "responsive": True}


def layout(store: Store, names: Sequence[str]) -> html.Div:
    """The page for these runs; those that do not exist are left out."""
    entries = _entries(store, names)
    if not entries:
        return html.Div(
            hint(
                "No runs to compare",
                html.P("Tick two to ten runs in the table, then choose Compare."),
                dcc.Link("To all runs", href=addresses.RUNS),
            ),
            className="page",
        )
    return html.Div(
        [
            dcc.Interval(id="compare-refresh", interval=REFRESH_MS),
            dcc.Store(id="compare-names", data=[entry.name for entry in entries]),
            dcc.Store(id="compare-shown"),
            dcc.Link("← All runs", href=addresses.RUNS, className="back"),
            html.H1("Compare"),
            html.Div(id="compare-runs", className="compare-runs"),
            html.Section([_controls(entries), _plot()], className="card"),
            html.Div(id="compare-why", className="place"),
            html.Div(id="compare-settings", className="place"),
        ],
        className="page compare-page",
    )


def connect(app: Dash, store: Store) -> None:
    """Draw the page, and draw it again whenever one of the runs, the colours or a choice changes."""

    @app.callback(
        Output("compare-runs", "children"),
        Output("plot-compare", "figure"),
        Output("compare-why", "children"),
        Output("compare-settings", "children"),
        Output("compare-shown", "data"),
        Input("compare-refresh", "n_intervals"),
        Input("dark", "data"),
        Input("compare-signal", "value"),
        Input("compare-axis", "value"),
        State("compare-names", "data"),
        State("compare-shown", "data"),
    )
    def refresh(_: int | None, dark: bool | None, signal: str, axis: str, names: list[str], last: str | None) -> Any:  # noqa: FBT001  Dash gives what it was connected to
        entries = _entries(store, names)
        runs = "".join(f"{entry.name} {entry.last_write_s} {entry.activity}|" for entry in entries)
        state = f"{runs} {dark} {signal} {axis}"
        if not entries or state == last:
            raise PreventUpdate
        drawn = overlay.figure(entries, signal, cast(overlay.Axis, axis), dark=bool(dark))
        if last is not None and last.startswith(runs):  # the runs are the same: only the plot is drawn another way
            return no_update, drawn, no_update, no_update, state
        return _legend(entries), drawn, _why(entries), _settings(entries), state


def _entries(store: Store, names: Sequence[str]) -> list[Entry]:
    found = (store.entry(name) for name in names[: overlay.MOST_RUNS])
    return [entry for entry in found if entry is not None]


def _controls(entries: Sequence[Entry]) -> html.Div:
    known = overlay.signals(entries) or [TRAIN_LOSS]
    return html.Div(
        [
            dmc.Select(
                id="compare-signal", data=known, value=known[0], searchable=True, allowDeselect=False,
                className="compare-signal", **aria(label="Signal"),
            ),
            dmc.SegmentedControl(
                id="compare-axis", data=list(overlay.AXES), value="step", **aria(label="Horizontal axis")
            ),
        ],
        className="card-head",
    )  # fmt: skip


def _plot() -> html.Div:
    drawing = dcc.Graph(id="plot-compare", config=GRAPH_CONFIG, responsive=True, style={"height": "100%"})
    return html.Div(drawing, className="graph graph-compare")


def _legend(entries: Sequence[Entry]) -> list[html.Div]:
    return [
        html.Div(
            [
                html.Span(className=f"swatch swatch-{place}", **aria(hidden="true")),
                html.Span(str(place + 1), className="quiet"),
                dcc.Link(entry.name, href=addresses.run_address(entry.name)),
                badge(health(entry)),
            ],
            className="compare-run",
        )
        for place, entry in enumerate(entries)
    ]


def _why(entries: Sequence[Entry]) -> html.Section | None:
    """What explains the difference, of two runs."""
    pair = [entry.diagnosis for entry in entries if entry.diagnosis is not None]
    if len(pair) != PAIR or len(entries) != PAIR:
        return None
    comparison = compared(pair[0], pair[1])
    outcomes = html.Table(
        [
            html.Caption("Outcomes"),
            html.Thead(html.Tr([html.Td(), html.Th("1", scope="col"), html.Th("2", scope="col"), html.Th("better")])),
            html.Tbody([_outcome(comparison, place) for place in range(len(comparison.outcomes))]),
        ],
        className="facts",
    )
    reasons = [
        html.Li(
            [html.Strong(f"{each.setting} "), html.Span(percent(each.weight), className="quiet"), f" {each.because}"]
        )
        for each in comparison.explanations
    ]
    notes = [html.P(note, className="quiet") for note in comparison.notes]
    told_first = html.P(headline(comparison), className="headline")
    parts = [told_first, html.Ul(reasons) if reasons else None, *notes, html.Div(outcomes, className="scrolls")]
    return card("What differs", html.Div(parts))


def _outcome(comparison: Comparison, place: int) -> html.Tr:
    one = comparison.outcomes[place]
    better = {"a": "1", "b": "2", None: "–"}[one.better]
    return html.Tr([html.Th(one.name, scope="row"), html.Td(shown(one.a)), html.Td(shown(one.b)), html.Td(better)])


def _settings(entries: Sequence[Entry]) -> html.Section | None:
    """The settings in which some of the runs differ, hyperparameters first."""
    every = [told(entry.diagnosis.run) if entry.diagnosis else {} for entry in entries]
    names = [name for name in dict.fromkeys(name for each in every for name in each) if _differ(every, name)]
    names.sort(key=lambda name: (name in INCIDENTAL, name not in HYPERPARAMETERS))
    if not names:
        return card("Set-up", html.P("The logs tell no setting in which these runs differ.", className="quiet"))
    head = [html.Td(), *(html.Th(str(place + 1), scope="col") for place in range(len(entries)))]
    rows = [html.Tr([_name(name), *(html.Td(shown(each.get(name))) for each in every)]) for name in names]
    table = html.Table(
        [html.Caption("Settings that differ"), html.Thead(html.Tr(head)), html.Tbody(rows)], className="facts"
    )
    return card("Settings that differ", html.Div(table, className="scrolls"))


def _differ(every: Sequence[dict[str, Setting]], name: str) -> bool:
    first, *others = [each.get(name) for each in every]
    return any(not same(first, other) for other in others)


def _name(name: str) -> html.Th:
    unit = HYPERPARAMETERS[name].unit if name in HYPERPARAMETERS else ""
    return html.Th([name, html.Span(f" {unit}", className="quiet") if unit else None], scope="row")
