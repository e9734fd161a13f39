"""Small pieces that several pages and cards are made of."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from dash import html
from plotly.io.json import to_json_plotly

from diagnose.dashboard.health import Health

# Nothing is sent anywhere: of its own accord Plotly offers to upload a chart.
GRAPH_CONFIG: Final[Any] = {"displaylogo": False, "responsive": True, "showSendToCloud": False, "plotlyServerURL": ""}


def digest(part: Any) -> str:
    """By which a component or a figure is known to be the same as before."""
    return sha256(str(to_json_plotly(part)).encode()).hexdigest()


def icon(name: str, label: str = "") -> html.Span:
    """One of the icons in assets/icons.css; decoration unless it has a label of its own."""
    told = {"role": "img", **aria(label=label)} if label else aria(hidden="true")
    return html.Span(className=f"icon icon-{name}", **told)


def aria(**told: str) -> dict[str, Any]:
    """What assistive technology is told, as a component's arguments."""
    return {f"aria-{name}": value for name, value in told.items()}


def breakable(name: str) -> list[Any]:
    """A name that a narrow page may break behind its underscores; who copies it gets it whole."""
    first, *rest = name.split("_")
    return [first, *(part for word in rest for part in ("_", html.Wbr(), word))]


def badge(word: Health) -> html.Span:
    """A run's health as icon, word and colour."""
    return html.Span([icon(word), html.Span(word)], className=f"health health-{word}")


def card(title: str, children: Any, *, note: str = "", tool: Any = None) -> html.Section:
    """A titled part of a page; `note` is a quiet line beside the title, `tool` a button there."""
    head: list[Any] = [html.H2(title, className="card-title")]
    if note:
        head.append(html.Span(note, className="card-note"))
    if tool is not None:
        head.append(tool)
    return html.Section([html.Div(head, className="card-head"), children], className="card")


def hint(title: str, *children: Any, name: str = "reading") -> html.Div:
    """A state without data: what is the case, and what to do about it."""
    return html.Div(
        [icon(name), html.H2(title, className="hint-title"), *children],
        className="hint",
    )


def png_button(plot: str, name: str) -> html.Button:
    """A button that hands out a plot, as it is shown, as a picture called `name`."""
    told: dict[str, Any] = {"data-png": plot, "data-name": name}
    return html.Button(
        "PNG", type="button", title="The shown curves as a picture", className="button button-small", **told
    )


def facts(rows: list[tuple[str, str]], label: str) -> html.Table:
    """A table of names and values."""
    body = [html.Tr([html.Th(breakable(name), scope="row"), html.Td(value)]) for name, value in rows]
    return html.Table([html.Caption(label), html.Tbody(body)], className="facts")


def scrolls(table: html.Table, label: str) -> html.Div:
    """A table that a narrow window scrolls sideways, by keys too."""
    return html.Div(table, className="scrolls", tabIndex=0, role="region", **aria(label=label))


def hidden(hide: bool) -> dict[str, str]:  # noqa: FBT001  the one thing it says
    """The style of what is there but not to be seen."""
    return {"display": "none"} if hide else {}
