"""All runs: health at a glance, and a table with the worst first.

The server sends rows, and later only those that changed; how they are filtered, grouped and shown is the
browser's (assets/runs*.js).
"""

from __future__ import annotations

from typing import Any, Final

import dash_ag_grid
import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.exceptions import PreventUpdate

from diagnose import symptoms
from diagnose.dashboard import addresses
from diagnose.dashboard.changes import Changes
from diagnose.dashboard.clientside import call_in_browser
from diagnose.dashboard.columns import COLUMNS
from diagnose.dashboard.pieces import aria, hidden, hint, icon
from diagnose.dashboard.rows import row_of
from diagnose.dashboard.store import LOOK_BUDGET_S, Entry, Store

REFRESH_MS: Final = 2000
READING_MS, READING_LOOK_S = 600, 0.4  # while runs are still unread: short looks, so that rows come in soon
FIRST_LOOK_S: Final = 0.5  # the page opens with what this reads; the refreshes read the rest
GRID_HEAD_PX: Final = 46
GRID_ROW_PX: Final = 58

ATTACH: Final = "import diagnose\ndiagnose.attach(model, optimizer)"


def layout(store: Store) -> html.Div:
    """The page as it opens, with what is already known of each run."""
    known = store.changes(budget_s=FIRST_LOOK_S)
    return html.Div(
        [
            dcc.Interval(id="runs-refresh", interval=READING_MS if store.unread else REFRESH_MS),
            dcc.Store(id="runs-news", data=_news(known)),
            dcc.Store(id="runs-revision"),
            dcc.Store(id="runs-words", data={name: symptoms.title(name) for name in symptoms.ids()}),
            html.Div([html.H1("Runs"), _tools()], className="page-head"),
            html.Div(id="runs-health", className="chips", role="group", **aria(label="Only runs of one health")),
            html.Div(id="runs-symptoms", className="chips", role="group", **aria(label="Only runs with one symptom")),
            html.Div(_table(), id="runs-table", style={"--rows": str(len(known.changed)), **hidden(not known.changed)}),
            html.Div(_no_match(), id="runs-no-match", style=hidden(hide=True)),
            html.Div(_no_runs(store), id="runs-none", style=hidden(bool(known.changed))),
        ],
        className="page runs-page",
    )


def connect(app: Dash, store: Store) -> None:
    """Send the open page what has changed; whatever it shows of that is decided in the browser."""

    @app.callback(
        Output("runs-news", "data"),
        Output("runs-refresh", "interval"),
        Input("runs-refresh", "n_intervals"),
        State("runs-revision", "data"),
        State("runs-refresh", "interval"),
        prevent_initial_call=True,
    )
    def refresh(_: int, revision: str | None, interval: int) -> tuple[Any, Any]:
        changes = store.changes(revision or "", READING_LOOK_S if store.unread else LOOK_BUDGET_S)
        wanted = READING_MS if store.unread else REFRESH_MS
        if not changes.any and wanted == interval:
            raise PreventUpdate
        return _news(changes) if changes.any else no_update, no_update if wanted == interval else wanted

    call_in_browser(
        app,
        "runs.take",
        Output("runs-revision", "data"),
        Input("runs-news", "data"),
        State("runs-words", "data"),
        at_start=True,
    )
    call_in_browser(
        app,
        "runs.compare",
        Output("runs-compare", "href"),
        Output("runs-compare", "children"),
        Output("runs-compare", "className"),
        Input("runs-grid", "selectedRows"),
    )
    call_in_browser(app, "runs.search", Output("runs-filter", "error"), Input("runs-filter", "value"))


def _tools() -> html.Div:
    compare = dcc.Link("Compare", id="runs-compare", href=addresses.COMPARE, className="button button-off")
    search = dmc.TextInput(
        id="runs-filter",
        placeholder="Search name, finding, setting …",
        leftSection=icon("search"),
        className="filter",
        **aria(label="Filter runs"),
    )
    return html.Div([compare, search, html.Div(id="runs-view", className="view")], className="page-tools")


def _table() -> dash_ag_grid.AgGrid:
    return dash_ag_grid.AgGrid(
        id="runs-grid",
        columnDefs=COLUMNS,
        rowData=[],
        getRowId="params.data.name",
        defaultColDef={"resizable": True, "sortable": True, "suppressHeaderMenuButton": True},
        style={"height": "100%"},
        dashGridOptions={
            "rowHeight": GRID_ROW_PX,
            "headerHeight": GRID_HEAD_PX,
            "suppressColumnVirtualisation": True,  # the row's link must be there wherever one has scrolled to
            "suppressMovableColumns": True,
            "suppressNoRowsOverlay": True,
            "enableCellTextSelection": True,
            "animateRows": False,
            "fullWidthCellRenderer": "GroupHead",
            "rowSelection": {"mode": "multiRow", "headerCheckbox": False, "enableClickSelection": False},
            "selectionColumnDef": {"width": 40, "suppressHeaderMenuButton": True},
            "tooltipShowDelay": 400,
        },
    )


def _news(changes: Changes[Entry]) -> dict[str, Any]:
    return {
        "revision": changes.revision,
        "rows": [row_of(entry) for entry in changes.changed],
        "gone": changes.gone,
        "whole": changes.whole,
    }


def _no_runs(store: Store) -> html.Div:
    return hint(
        "No runs yet",
        html.P(["Nothing below ", html.Code(str(store.root)), " holds an event log. Add two lines to your training:"]),
        html.Pre(ATTACH),
        html.P("The run appears here by itself. Logs of other TensorBoard writers are read as well."),
    )


def _no_match() -> html.Div:
    return hint(
        "No run matches",
        html.P("There are runs, but none that is all of what is asked for."),
        html.Button("Show all runs", id="runs-show-all", className="button"),
        name="search",
    )
