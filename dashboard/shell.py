"""The frame around every page: header, colour scheme, and which page an address shows."""

from __future__ import annotations

from typing import Any, Final

import dash_mantine_components as dmc
from dash import Dash, Input, Output, dcc, html

from diagnose.dashboard import addresses
from diagnose.dashboard.clientside import call_in_browser
from diagnose.dashboard.pages import compare, run, runs, what_if
from diagnose.dashboard.pieces import aria, hint, icon
from diagnose.dashboard.store import Store

# {%prefix%} is ours: where the app is mounted. first_paint.js stands in the head so that a dark page never
# flashes white.
INDEX: Final = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>{%title%}</title>
    <link rel="icon" type="image/svg+xml" href="{%prefix%}assets/mark.svg">
    <script src="{%prefix%}assets/first_paint.js"></script>
    {%css%}
  </head>
  <body>{%app_entry%}<footer>{%config%}{%scripts%}{%renderer%}</footer></body>
</html>"""

FONTS: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', sans-serif"
MONO: Final = "ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, Consolas, 'Noto Sans Mono', monospace"


def build(app: Dash, store: Store) -> None:
    """Give the app its frame and connect all pages."""
    prefix = app.config.requests_pathname_prefix
    app.index_string = INDEX.replace("{%prefix%}", prefix)
    app.layout = lambda: _frame(store, prefix)

    @app.callback(Output("page", "children"), Input("address", "pathname"), Input("address", "search"))
    def show(pathname: str, search: str | None) -> Any:
        page = addresses.page_of(pathname, prefix)
        if page == addresses.RUNS:
            return runs.layout(store)
        if page == addresses.RUN:
            return run.layout(store, addresses.run_name(search), search or "")
        if page == addresses.COMPARE:
            return compare.layout(store, search)
        if page == addresses.WHAT_IF:
            return what_if.layout(addresses.settings(search))
        return hint("There is no such page", dcc.Link("Back to all runs", href=prefix), name="search")

    place = (Input("address", "pathname"), Input("address", "search"))
    call_in_browser(app, "frame.title", Output("titled", "data"), *place, at_start=True)
    call_in_browser(app, "frame.dark", Output("dark", "data"), Input("dark", "id"), at_start=True)
    runs.connect(app, store)
    run.connect(app, store)
    compare.connect(app, store)
    what_if.connect(app)


def _frame(store: Store, prefix: str) -> dmc.MantineProvider:
    return dmc.MantineProvider(
        [
            dcc.Location(id="address", refresh=False),
            dcc.Store(id="titled"),
            dcc.Store(id="dark"),
            html.A("Skip to content", href="#page", className="skip"),
            dmc.AppShell(
                [
                    dmc.AppShellHeader(_header(store, prefix)),
                    dmc.AppShellMain(
                        [
                            # There from the start: what is put into it later is read aloud.
                            html.Div(id="connection", className="connection", role="status", **aria(live="polite")),
                            html.Div(id="page", tabIndex=-1),
                        ]
                    ),
                ],
                header={"height": 56},
                padding=0,
                mode="static",
            ),
        ],
        defaultColorScheme="auto",
        theme={"fontFamily": FONTS, "fontFamilyMonospace": MONO, "primaryColor": "dark", "cursorType": "pointer"},
    )


def _header(store: Store, prefix: str) -> html.Div:
    return html.Div(
        [
            dcc.Link(
                [html.Img(src=f"{prefix}assets/mark.svg", alt="", className="mark"), html.Span("diagnose")],
                href=prefix,
                className="brand",
            ),
            html.Nav(
                [dcc.Link("Runs", href=prefix), dcc.Link("What if", href=prefix + addresses.WHAT_IF)],
                className="nav",
                **aria(label="Pages"),
            ),
            html.Span(str(store.root), className="root", title=str(store.root)),
            dmc.ColorSchemeToggle(
                lightIcon=icon("sun"),
                darkIcon=icon("moon"),
                variant="subtle",
                size="lg",
                color="gray",
                **aria(label="Switch between light and dark"),
            ),
        ],
        className="header",
    )
