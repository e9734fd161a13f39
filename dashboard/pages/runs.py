"""All runs: health at a glance, and a table with the worst first."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256
from typing import Any, Final

import dash_ag_grid
import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html
from dash.exceptions import PreventUpdate

from diagnose.dashboard import addresses
from diagnose.dashboard.clientside import call_in_browser
from diagnose.dashboard.health import WORST_FIRST, Health
from diagnose.dashboard.pieces import aria, hidden, hint, icon
from diagnose.dashboard.rows import Row, rows
from diagnose.dashboard.store import Store

REFRESH_MS: Final = 2000
FIRST_LOOK_S: Final = 0.3  # the page opens with what this reads; the refreshes read the rest
GRID_HEAD_PX: Final = 46
GRID_ROW_PX: Final = 58

ATTACH: Final = "import diagnose\ndiagnose.attach(model, optimizer)"

_ALWAYS: Final[tuple[Health, ...]] = ("critical", "warning", "healthy")


def _number(field: str, title: str, width: int) -> dict[str, Any]:
    return {
        "field": field,
        "headerName": title,
        "width": width,
        "cellRenderer": "Number",
        "type": "rightAligned",
        "sortingOrder": ["asc", "desc", None],
    }


COLUMNS: Final[list[dict[str, Any]]] = [
    {"field": "order", "headerName": "Health", "width": 128, "cellRenderer": "Health", "sort": "asc"},
    {"field": "name", "headerName": "Run", "minWidth": 156, "flex": 3, "cellRenderer": "RunName"},
    {"field": "finding", "headerName": "Worst finding", "minWidth": 150, "flex": 3, "cellRenderer": "Finding"},
    {"field": "change", "headerName": "Change first", "minWidth": 152, "flex": 3, "cellRenderer": "Change"},
    {
        "field": "spark",
        "headerName": "Loss",
        "width": 118,
        "cellRenderer": "Spark",
        "cellDataType": False,
        "sortable": False,
    },
    _number("train", "Train", 74),
    _number("validation", "Valid.", 74),
    _number("steps", "Steps", 76),
    _number("lr", "lr", 74),
    {"field": "optimizer", "headerName": "Optimizer", "width": 94},
    _number("batch", "Batch", 66),
]


def layout(store: Store) -> html.Div:
    """The page as it opens, with what is already known of each run."""
    known = rows(store.entries(FIRST_LOOK_S))
    return html.Div(
        [
            dcc.Interval(id="runs-refresh", interval=REFRESH_MS),
            dcc.Store(id="runs-shown", data=_digest(known)),
            html.Div(
                [
                    html.Div([html.H1("Runs"), html.Div(_counts(known), id="runs-counts", className="counts")]),
                    html.Div(
                        [
                            dcc.Link(
                                "Compare", id="runs-compare", href=addresses.COMPARE, className="button button-off"
                            ),
                            dmc.TextInput(
                                id="runs-filter",
                                placeholder="Filter by name, finding, optimizer …",
                                leftSection=icon("search"),
                                className="filter",
                                **aria(label="Filter runs"),
                            ),
                        ],
                        className="page-tools",
                    ),
                ],
                className="page-head",
            ),
            html.Div(_table(known), id="runs-table", style=_table_style(known)),
            html.Div(_no_runs(store), id="runs-none", style=hidden(bool(known))),
        ],
        className="page",
    )


def connect(app: Dash, store: Store) -> None:
    """Refresh the table while it is open, but only where something has changed."""

    @app.callback(
        Output("runs-grid", "rowData"),
        Output("runs-counts", "children"),
        Output("runs-table", "style"),
        Output("runs-none", "style"),
        Output("runs-shown", "data"),
        Input("runs-refresh", "n_intervals"),
        State("runs-shown", "data"),
        prevent_initial_call=True,
    )
    def refresh(_: int, shown: str) -> tuple[Any, ...]:
        current = rows(store.entries())
        digest = _digest(current)
        if digest == shown:
            raise PreventUpdate
        return current, _counts(current), _table_style(current), hidden(bool(current)), digest

    call_in_browser(
        app,
        "runs.compare",
        Output("runs-compare", "href"),
        Output("runs-compare", "children"),
        Output("runs-compare", "className"),
        Input("runs-grid", "selectedRows"),
    )
    call_in_browser(app, "runs.filter", Output("runs-filter", "error"), Input("runs-filter", "value"))
    call_in_browser(app, "runs.fit", Output("runs-grid", "className"), Input("runs-grid", "id"), at_start=True)


def _table(known: list[Row]) -> dash_ag_grid.AgGrid:
    return dash_ag_grid.AgGrid(
        id="runs-grid",
        columnDefs=COLUMNS,
        rowData=known,
        getRowId="params.data.name",
        defaultColDef={"resizable": True, "sortable": True, "suppressHeaderMenuButton": True},
        style={"height": "100%"},
        dashGridOptions={
            "rowHeight": GRID_ROW_PX,
            "headerHeight": GRID_HEAD_PX,
            "suppressColumnVirtualisation": True,  # the row's link must be there wherever one has scrolled to
            "suppressMovableColumns": True,
            "enableCellTextSelection": True,
            "animateRows": False,
            "rowSelection": {"mode": "multiRow", "headerCheckbox": False, "enableClickSelection": False},
            "selectionColumnDef": {"width": 44, "suppressHeaderMenuButton": True},
            "tooltipShowDelay": 400,
        },
    )


def _table_style(known: list[Row]) -> dict[str, str]:
    """The number of rows, from which the style sheet makes the table's height; nothing to see without rows."""
    return {"--rows": str(len(known)), **hidden(not known)}


def _counts(known: list[Row]) -> list[html.Span]:
    counted = Counter(row["health"] for row in known)
    words = [word for word in WORST_FIRST if counted[word] or word in _ALWAYS]
    return [
        html.Span(
            [icon(word), html.Strong(str(counted[word])), html.Span(word)],
            className=f"count health-{word}" + ("" if counted[word] else " count-none"),
        )
        for word in words
    ]


def _no_runs(store: Store) -> html.Div:
    return hint(
        "No runs yet",
        html.P(["Nothing below ", html.Code(str(store.root)), " holds an event log. Add two lines to your training:"]),
        html.Pre(ATTACH),
        html.P("The run appears here by itself. Logs of other TensorBoard writers are read as well."),
    )


def _digest(current: list[Row]) -> str:
    return sha256(json.dumps(current, sort_keys=True, default=str).encode()).hexdigest()
