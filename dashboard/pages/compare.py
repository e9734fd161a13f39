"""Up to ten runs side by side: their curves in one plot, what differs in their set-up, and what explains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.exceptions import PreventUpdate

from diagnose.dashboard import addresses, differences, overlay
from diagnose.dashboard.clientside import call_in_browser
from diagnose.dashboard.health import health
from diagnose.dashboard.pieces import GRAPH_CONFIG, aria, badge, hidden, hint, png_button
from diagnose.dashboard.store import Entry, Store
from diagnose.signals import TRAIN_LOSS

REFRESH_MS: Final = 2000
GONE: Final = "gone"  # the problem of a run that was there when the page was opened
CONFIG: Final[Any] = {
    **GRAPH_CONFIG,
    "doubleClick": "autosize",
    "modeBarButtonsToRemove": ["toImage"],  # the PNG button's picture names the curves
}


def layout(store: Store, search: str | None) -> html.Div:
    """The page for the runs, the signal, the axis and the reference in its address; what there is none of is left."""
    entries = _entries(store, addresses.run_names(search))
    if not entries:
        return html.Div(
            hint(
                "No runs to compare",
                html.P("Tick two to ten runs in the table, then choose Compare."),
                dcc.Link("To all runs", href=addresses.RUNS),
            ),
            className="page",
        )
    told = addresses.settings(search)
    names = [entry.name for entry in entries]
    return html.Div(
        [
            dcc.Interval(id="compare-refresh", interval=REFRESH_MS),
            dcc.Store(id="compare-names", data=names),
            dcc.Store(id="compare-shown", data={}),
            dcc.Store(id="compare-drawn"),
            dcc.Store(id="compare-address"),
            dcc.Link("← All runs", href=addresses.RUNS, className="back"),
            html.H1("Compare"),
            html.Div(id="compare-runs", className="compare-runs"),
            html.Section(
                [_controls(entries, told), _plot(), html.P(id="compare-left-out", className="card-note")],
                className="card",
            ),
            html.Section(
                [_head("What differs", _reference(names, told)), html.Div(id="compare-why")],
                className="card place",
                style=hidden(len(entries) < 2),
            ),
            html.Section([_head("Settings", _toggle(told)), html.Div(id="compare-settings")], className="card place"),
        ],
        className="page compare-page",
    )


def connect(app: Dash, store: Store) -> None:
    """Draw the page, and draw again what a changed run, another choice or other colours concern."""

    @app.callback(
        Output("compare-runs", "children"),
        Output("compare-drawn", "data"),
        Output("compare-left-out", "children"),
        Output("compare-why", "children"),
        Output("compare-settings", "children"),
        Output("compare-shown", "data"),
        Input("compare-refresh", "n_intervals"),
        Input("dark", "data"),
        Input("compare-signal", "value"),
        Input("compare-axis", "value"),
        Input("compare-reference", "value"),
        Input("compare-differences", "checked"),
        State("compare-names", "data"),
        State("compare-shown", "data"),
        # An answer that is overtaken is thrown away: slower ones than the interval would never be shown.
        running=[(Output("compare-refresh", "disabled"), True, False)],
    )
    def refresh(  # noqa: PLR0917  Dash gives what it was connected to, in that order
        _: int | None,
        dark: bool | None,  # noqa: FBT001  the same
        signal: str,
        axis: overlay.Axis,
        reference: str,
        differing: bool,  # noqa: FBT001  the same
        names: list[str],
        last: dict[str, str],
    ) -> Any:
        # A run's place is its colour, also when one before it is gone.
        entries = [store.entry(name) or _gone(name) for name in names[: overlay.MOST_RUNS]]
        runs = "".join(f"{entry.name} {entry.version} {entry.activity}|" for entry in entries)
        now = {
            "runs": runs,
            "plot": f"{dark} {signal} {axis}",
            "why": reference,
            "settings": f"{reference} {differing}",
        }
        if now == last:
            raise PreventUpdate
        changed = {part for part in now if runs != last.get("runs") or now[part] != last.get(part)}
        return (
            _legend(entries) if "runs" in changed else no_update,
            overlay.figure(entries, signal, axis, dark=bool(dark)) if "plot" in changed else no_update,
            " ".join(_left_out(entries, signal, axis)) if "plot" in changed else no_update,
            differences.against(entries, reference) if "why" in changed else no_update,
            differences.settings(entries, reference, only_differences=differing)
            if "settings" in changed
            else no_update,
            now,
        )

    call_in_browser(app, "compare.draw", Output("plot-compare", "figure"), Input("compare-drawn", "data"))
    call_in_browser(
        app,
        "compare.keep",
        Output("compare-address", "data"),
        Input("compare-signal", "value"),
        Input("compare-axis", "value"),
        Input("compare-reference", "value"),
        Input("compare-differences", "checked"),
        Input("plot-compare", "relayoutData"),
    )


def _entries(store: Store, names: Sequence[str]) -> list[Entry]:
    found = (store.entry(name) for name in names[: overlay.MOST_RUNS])
    return [entry for entry in found if entry is not None]


def _gone(name: str) -> Entry:
    """What stands for a run that was deleted while the page was open."""
    return Entry(name, "", "finished", 0.0, problem=GONE)


def _left_out(entries: Sequence[Entry], signal: str, axis: overlay.Axis) -> list[str]:
    gone = [f"{entry.name} is gone: its files were moved or deleted." for entry in entries if entry.problem == GONE]
    return gone + overlay.left_out([entry for entry in entries if entry.problem != GONE], signal, axis)


def _controls(entries: Sequence[Entry], told: Mapping[str, str]) -> html.Div:
    known = overlay.signals(entries) or [TRAIN_LOSS]
    return html.Div(
        [
            dmc.Select(
                id="compare-signal", data=known, value=_one_of(known, told.get("signal")), searchable=True,
                allowDeselect=False, className="compare-signal", **aria(label="Signal"),
            ),
            dmc.SegmentedControl(
                id="compare-axis", data=list(overlay.AXES), value=_one_of(overlay.AXES, told.get("axis")),
                **aria(label="Horizontal axis"),
            ),
            png_button("plot-compare", "compare"),
        ],
        className="card-head",
    )  # fmt: skip


def _reference(names: Sequence[str], told: Mapping[str, str]) -> html.Div:
    numbered = [{"value": name, "label": f"{number} {name}"} for number, name in enumerate(names, start=1)]
    select = dmc.Select(
        id="compare-reference", data=cast("Any", numbered), value=_one_of(names, told.get("against")),
        allowDeselect=False, size="xs", **aria(label="Compared with"),
    )  # fmt: skip
    return html.Div([html.Span("each against", className="card-note"), select], className="page-tools")


def _toggle(told: Mapping[str, str]) -> dmc.Switch:
    shown = "all" not in told
    return dmc.Switch(id="compare-differences", label="Only differences", checked=shown, size="sm", color="var(--link)")


def _one_of(known: Sequence[str], asked: str | None) -> str:
    return asked if asked is not None and asked in known else known[0]


def _head(title: str, tool: Any) -> html.Div:
    return html.Div([html.H2(title, className="card-title"), tool], className="card-head")


def _plot() -> html.Div:
    drawing = dcc.Graph(id="plot-compare", config=CONFIG, responsive=True, style={"height": "100%"})
    return html.Div(drawing, className="graph graph-compare")


def _legend(entries: Sequence[Entry]) -> list[html.Div]:
    return [
        html.Div(
            [
                html.Span(className=f"swatch swatch-{place}", **aria(hidden="true")),
                html.Span(str(place + 1), className="quiet"),
                dcc.Link(entry.name, href=addresses.run_address(entry.name)),
                html.Span(GONE, className="quiet") if entry.problem == GONE else badge(health(entry)),
            ],
            className="compare-run",
        )
        for place, entry in enumerate(entries)
    ]
