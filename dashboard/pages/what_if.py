"""What if: change a setting, and see what must follow, why, and the schedule that it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import dash_mantine_components as dmc
import numpy as np
import plotly.graph_objects as go
from dash import ALL, Dash, Input, Output, State, ctx, dcc, html

from diagnose import schedule_curves
from diagnose.dashboard import coupling_graph
from diagnose.dashboard.addresses import NEW, consequences_address
from diagnose.dashboard.cards import prescription
from diagnose.dashboard.clientside import call_in_browser
from diagnose.dashboard.fields import FIELDS, Field, problem, stop_of
from diagnose.dashboard.pieces import GRAPH_CONFIG, aria, breakable, card, png_button
from diagnose.diagnosis import Prescription
from diagnose.errors import InvalidArgumentError
from diagnose.prescriptions.applying import apply
from diagnose.prescriptions.consequences import what_if
from diagnose.prescriptions.settings import Settings, from_config
from diagnose.reports.figures import PALETTE, themed

FIRST_CHANGE: Final = {"batch_size": "1024"}
FILES: Final = {"md": "Markdown", "json": "JSON"}
MEND: Final = "Nothing follows yet: one of the fields holds what cannot be meant. It says so below it."
POINTS: Final = 200  # of a drawn schedule
CONFIG: Final[Any] = {**GRAPH_CONFIG, "displayModeBar": False}


def layout(told: Mapping[str, str]) -> html.Div:
    """The page for the settings and changes in its address; an example where there are none."""
    known = {name: value for name, value in told.items() if name.removeprefix(NEW) in FIELDS}
    first = {name: field.first for name, field in FIELDS.items()}
    shown = known or {**first, **{NEW + name: value for name, value in FIRST_CHANGE.items()}}
    fields = [_field(field, shown.get(name, ""), shown.get(NEW + name, "")) for name, field in FIELDS.items()]
    head = html.Div([html.Span("setting"), html.Span("now"), html.Span("to be")], className="field field-head")
    settings = html.Div([head, *fields], className="fields")
    about = "Change a setting: what is coupled to it follows, with its formula's number, reason and source."
    answer = [
        html.Div(id="what-if-answer"),
        card(
            "Schedule",
            html.Div([_graph("schedule"), html.P(id="what-if-shapes", className="card-note")]),
            tool=png_button("plot-schedule", "schedule"),
        ),
        card(
            "Couplings",
            _graph("couplings"),
            note="point at a setting to see what it pulls",
            tool=png_button("plot-couplings", "couplings"),
        ),
    ]
    return html.Div(
        [
            dcc.Store(id="what-if-address"),
            dcc.Store(id="what-if-slid"),
            dcc.Store(id="what-if-dragged"),
            dcc.Store(id="what-if-followed"),
            dcc.Store(id="what-if-answered"),
            dcc.Store(id="what-if-stops", data={name: field.stops for name, field in FIELDS.items() if field.stops}),
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
    boxes = [{"type": "now", "name": ALL}, {"type": "new", "name": ALL}]
    states, inputs = [State(box, "value") for box in boxes], [Input(box, "value") for box in boxes]

    @app.callback(Output("what-if-answered", "data"), *inputs, Input("dark", "data"))
    def answer(_: list[str], __: list[str], dark: bool | None) -> dict[str, Any]:  # noqa: FBT001  as Dash gives it
        """All that is shown, with the fields that it answers."""
        config, changes = _read(0), _read(1)
        errors = [[_problem(field) for field in ctx.inputs_list[place]] for place in (0, 1)]
        answered = MEND if any(errors[0] + errors[1]) else _answer(config, changes)
        told = answered if isinstance(answered, Prescription) else Prescription()
        ways = {} if answered == MEND else _ways(config, told)
        files = {kind: consequences_address(config, changes, kind) for kind in FILES}
        shown = [
            _card(answered, files),
            _schedule(ways, dark=bool(dark)),
            _shapes(ways),
            coupling_graph.figure(told.changes, dark=bool(dark)),
            *errors,
        ]
        return {"now": config, "new": changes, "shown": shown}

    places = [
        Output("what-if-answer", "children"),
        Output("plot-schedule", "figure"),
        Output("what-if-shapes", "children"),
        Output("plot-couplings", "figure"),
        *(Output(box, "error") for box in boxes),
    ]
    call_in_browser(app, "whatif.show", *places, Input("what-if-answered", "data"), *states)
    call_in_browser(app, "whatif.keep", Output("what-if-address", "data"), *inputs)

    sliders, stops = {"type": "slider", "name": ALL}, State("what-if-stops", "data")
    moved = [Input(sliders, "value"), Input("what-if-dragged", "data")]
    call_in_browser(app, "whatif.slide", Output("what-if-slid", "data"), *moved, stops, *states)
    call_in_browser(app, "whatif.follow", Output("what-if-followed", "data"), *inputs, stops, State(sliders, "value"))


def _field(field: Field, now: str, new: str) -> html.Div:
    label = html.Span([*breakable(field.name), html.Span(f" {field.unit}", className="quiet") if field.unit else None])
    if not field.changeable:
        return html.Div([label, _box("now", field.name, now), html.Span()], className="field")
    boxes = [_box("now", field.name, now), _box("new", field.name, new)]
    return html.Div([label, *boxes, _slider(field, new or now) if field.stops else None], className="field")


def _box(kind: str, name: str, value: str) -> dmc.TextInput:
    told = f"{name} {'now' if kind == 'now' else 'to be'}"
    return dmc.TextInput(id={"type": kind, "name": name}, value=value, debounce=True, size="xs", **aria(label=told))


def _slider(field: Field, shown: str) -> dmc.Slider:
    """A slider over usual values; the scripts carry them to the field and back."""
    return dmc.Slider(
        id={"type": "slider", "name": field.name}, min=0, max=len(field.stops) - 1, step=1,
        value=stop_of(field, shown), label=None, size="xs", thumbSize=14, color="var(--quiet)",
        thumbLabel=f"{field.name} to be, over usual values", className="slider",
    )  # fmt: skip


def _graph(name: str) -> html.Div:
    drawing = dcc.Graph(id=f"plot-{name}", config=CONFIG, responsive=True, style={"height": "100%"})
    return html.Div(drawing, className=f"graph graph-{name}")


def _read(place: int) -> dict[str, str]:
    """The filled fields of one column."""
    return {
        field["id"]["name"]: field["value"].strip()
        for field in ctx.inputs_list[place]
        if (field.get("value") or "").strip()
    }


def _problem(field: Mapping[str, Any]) -> str | None:
    return problem(FIELDS[field["id"]["name"]], field.get("value") or "") or None


def _answer(config: Mapping[str, str], changes: Mapping[str, str]) -> Prescription | str:
    if not changes:
        return "Fill in what a setting is to be."
    try:
        return what_if(config, **changes)
    except InvalidArgumentError as error:
        return str(error)


def _card(answered: Prescription | str, files: Mapping[str, str]) -> html.Section:
    if isinstance(answered, str):
        return card("What follows", html.P(answered, className="quiet"))
    notes = [html.P(note, className="quiet") for note in answered.notes]
    links = [part for kind, word in FILES.items() for part in (html.A(word, href=files[kind]), " ")]
    taken_along = [prescription.to_paste(answered), html.Div(["Answer as a file ", *links], className="reports")]
    return card("What follows", html.Div([*prescription.moves(answered), *notes, *taken_along], className="moves"))


def _ways(config: Mapping[str, str], told: Prescription) -> dict[str, Settings]:
    """The settings as they are and as they are to be."""
    after = apply(told, {**{change.setting: None for change in told.changes}, **config}).config
    return {"now": from_config(config), "to be": from_config(after)}


def _schedule(ways: Mapping[str, Settings], *, dark: bool) -> go.Figure:
    """The rate over the training, now and to be."""
    drawn = go.Figure()
    for (name, settings), (colour, dash) in zip(ways.items(), (("quiet", "dash"), ("train", "solid")), strict=False):
        if (course := _course(settings)) is not None:
            line = {"color": PALETTE[colour], "dash": dash, "width": 2}
            drawn.add_trace(go.Scatter(x=course[0], y=course[1], name=name, mode="lines", line=line))
    drawn.update_layout(
        xaxis={"title": {"text": "step"}, "automargin": True}, yaxis={"rangemode": "tozero", "automargin": True}
    )
    themed(drawn, dark)
    if not drawn.data:
        drawn.update_xaxes(visible=False).update_yaxes(visible=False)
    return drawn.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 60}, showlegend=True)


def _shapes(ways: Mapping[str, Settings]) -> str:
    """What was drawn, in words; or what is missing."""
    drawn = {name: settings for name, settings in ways.items() if _course(settings) is not None}
    if not drawn:
        return "A schedule needs lr, and steps or epochs with batch_size and dataset_size."
    words = {
        name: schedule_curves.in_words(settings.word("scheduler"))
        + ("" if settings.word("scheduler") else ", as no scheduler is told")
        for name, settings in drawn.items()
    }
    same = len(set(words.values())) == 1
    told = next(iter(words.values())) if same else "; ".join(f"{name}: {text}" for name, text in words.items())
    return f"A linear rise over the warmup, then {told}."


def _course(settings: Settings) -> tuple[list[float], list[float]] | None:
    lr, steps = settings.number("lr"), settings.steps
    if not lr or not steps:
        return None
    warmup = min(settings.number("warmup_steps") or 0.0, steps)
    at = np.unique(np.r_[np.linspace(0, steps, POINTS), warmup])
    return at.tolist(), schedule_curves.course(settings.word("scheduler"), lr, at, warmup, steps).tolist()
