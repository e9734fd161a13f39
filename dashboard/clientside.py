"""Callbacks that run in the browser: functions of the scripts in assets/, called by name."""

from __future__ import annotations

from typing import Any

from dash import ClientsideFunction, Dash


def call_in_browser(app: Dash, function: str, *dependencies: Any, at_start: bool = False) -> None:
    """Connect `namespace.function` of the scripts to its output, inputs and states.

    Functions are named, never written here: the pages' security policy forbids scripts inside the page.
    """
    namespace, _, name = function.partition(".")
    called = ClientsideFunction(namespace, name)
    app.clientside_callback(called, *dependencies, prevent_initial_call=not at_start)  # type: ignore[no-untyped-call]  # Dash leaves it untyped
