"""What if: change a setting, and see what must follow, why, and the schedule that it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import dash_mantine_components as dmc
import numpy as np
import plotly.graph_objects as go
from dash import ALL, Dash, Input, Output, ctx, dcc, html

from diagnose.dashboard import coupling_graph
from diagnose.dashboard.cards import prescription
from diagnose.dashboard.clientside import call_in_browser
from diagnose.dashboard.pieces import aria, card
from diagnose.diagnosis import Prescription
from diagnose.errors import InvalidArgumentError
from diagnose.prescriptions.applying import apply
from diagnose.prescriptions.consequences import what_if
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS
from diagnose.prescriptions.settings import Settings, from_config
from diagnose.reports.figures import PALETTE, themed

# What the page asks for, in the order of its fields, and where a first visit begins.
FIELDS: Final[Mapping[str, str]] = {
    "optimizer": "SGD", "lr": "0.1", "batch_size": "256", "dataset_size": "50000", "epochs": "90", "warmup_steps": "",
    "momentum": "0.9", "weight_decay": "1e-4", "max_norm": "", "dropout": "", "augmentation": "", "normalization": "",
    "label_smoothing": "", "scheduler": "", "accumulation_steps": "", "width": "", "depth": "", "activation": "",
    "model": "",
}  # fmt: skip
FIRST_CHANGE: Final = {"batch_size": "1024"}
UNCHANGEABLE: Final = frozenset({"dataset_size"})
NEW: Final = "new."  # before the name of a setting that is to change, in the page's address
POINTS: Final = 200  # of a drawn schedule
GRAPH_CONFIG: Final[Any] = {"displaylogo": False, "responsive": True, "displayModeBar": False}


def layout(told: Mapping[str, str]) -> html.Div:
    """The page for the settings and changes in its address; an example where there are none."""
    known = {name: value for name, value in told.items() if name.removeprefix(NEW) in FIELDS}
    shown = known or {**FIELDS, **{NEW + name: value for name, value in FIRST_CHANGE.items()}}
    fields = [_field(name, shown.get(name, ""), shown.get(NEW + name, "")) for name in FIELDS]
    head = html.Div([html.Span("setting"), html.Span("now"), html.Span("to be")], className="field field-head")
    settings = html.Div([head, *fields], className="fields")
    about = "Change a setting: what is coupled to it follows, with its formula's number, reason and source."
    answer = [
        html.Div(id="what-if-answer"),
        card("Schedule", _graph("schedule")),
        card("Couplings", _graph("couplings"), note="point at a setting to see what it pulls"),
    ]
    return html.Div(
        [
            dcc.Store(id="what-if-address"),
            html.H1("What if"),
            html.P(about, className="headline"),
            html.Div(
                [card("Settings", settings, note="empty: not known"), html.Div(answer, className="beside")],
                className="columns what-if",
            ),
        ],
        className="page",
    )


def connect(app: Dash) -> None:
    """Answer whenever a field changes."""

    @app.callback(
        Output("what-if-answer", "children"),
        Output("plot-schedule", "figure"),
        Output("plot-couplings", "figure"),
        Input({"type": "now", "name": ALL}, "value"),
        Input({"type": "new", "name": ALL}, "value"),
        Input("dark", "data"),
    )
    def answer(_: list[str], __: list[str], dark: bool | None) -> tuple[Any, ...]:  # noqa: FBT001  as Dash gives it
        config, changes = _read(0), _read(1)
        answered = _answer(config, changes)
        told = answered if isinstance(answered, Prescription) else Prescription()
        schedule = _schedule(config, told, dark=bool(dark))
        return _card(answered), schedule, coupling_graph.figure(told.changes, dark=bool(dark))

    call_in_browser(
        app,
        "whatif.keep",
        Output("what-if-address", "data"),
        Input({"type": "now", "name": ALL}, "value"),
        Input({"type": "new", "name": ALL}, "value"),
    )


def _field(name: str, now: str, new: str) -> html.Div:
    unit = HYPERPARAMETERS[name].unit if name in HYPERPARAMETERS else "samples"
    label = html.Label([name, html.Span(f" {unit}", className="quiet") if unit else None])
    boxes = [_box("now", name, now), html.Span() if name in UNCHANGEABLE else _box("new", name, new)]
    return html.Div([label, *boxes], className="field")


def _box(kind: str, name: str, value: str) -> dmc.TextInput:
    told = f"{name} {'now' if kind == 'now' else 'to be'}"
    return dmc.TextInput(id={"type": kind, "name": name}, value=value, debounce=400, size="xs", **aria(label=told))


def _graph(name: str) -> html.Div:
    drawing = dcc.Graph(id=f"plot-{name}", config=GRAPH_CONFIG, responsive=True, style={"height": "100%"})
    return html.Div(drawing, className=f"graph graph-{name}")


def _read(place: int) -> dict[str, str]:
    """The filled fields of one column."""
    return {
        field["id"]["name"]: field["value"].strip()
        for field in ctx.inputs_list[place]
        if (field.get("value") or "").strip()
    }


def _answer(config: Mapping[str, str], changes: Mapping[str, str]) -> Prescription | str:
    if not changes:
        return "Fill in what a setting is to be."
    try:
        return what_if(config, **changes)
    except InvalidArgumentError as error:
        return str(error)


def _card(answered: Prescription | str) -> html.Section:
    if isinstance(answered, str):
        return card("What follows", html.P(answered, className="quiet"))
    notes = [html.P(note, className="quiet") for note in answered.notes]
    return card("What follows", html.Div([*prescription.moves(answered), *notes], className="moves"))


def _schedule(config: Mapping[str, str], told: Prescription, *, dark: bool) -> go.Figure:
    """The rate over the training, now and to be: a linear rise over the warmup, then what the scheduler's name says."""
    drawn = go.Figure()
    after = apply(told, {**{change.setting: None for change in told.changes}, **config}).config
    for name, settings, colour, dash in (
        ("now", from_config(config), "quiet", "dash"), ("to be", from_config(after), "train", "solid"),
    ):  # fmt: skip
        if (course := _course(settings)) is not None:
            line = {"color": PALETTE[colour], "dash": dash, "width": 2}
            drawn.add_trace(go.Scatter(x=course[0], y=course[1], name=name, mode="lines", line=line))
    drawn.update_layout(
        xaxis={"title": {"text": "step"}, "automargin": True}, yaxis={"rangemode": "tozero", "automargin": True}
    )
    themed(drawn, dark)
    return drawn.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 60}, showlegend=True)


def _course(settings: Settings) -> tuple[list[float], list[float]] | None:
    lr, steps = settings.number("lr"), settings.steps
    if not lr or not steps:
        return None
    warmup = min(settings.number("warmup_steps") or 0.0, steps)
    at = np.unique(np.r_[np.linspace(0, steps, POINTS), warmup])
    share = np.clip((at - warmup) / max(steps - warmup, 1.0), 0, 1)
    held = "constant" in settings.word("scheduler").lower()
    falling = np.ones_like(share) if held else 0.5 * (1 + np.cos(np.pi * share))
    rate = lr * np.where(at < warmup, at / max(warmup, 1.0), falling)
    return at.tolist(), rate.tolist()
