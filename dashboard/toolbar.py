"""What a person may set about a run's plots: the steps shown, the axis, the smoothing, how layers are grouped."""

from __future__ import annotations

from typing import Any, Final

import dash_mantine_components as dmc
from dash import dcc, html

from diagnose.dashboard import layer_tree
from diagnose.dashboard.pieces import aria
from diagnose.dashboard.view import AXES, MOST_OPEN, SMOOTH, View
from diagnose.run import Run

AXIS_WORDS: Final = {"auto": "Auto", "linear": "Linear", "log": "Log"}
SMOOTH_WORDS: Final = {"auto": "Where noisy", "off": "Off"}


def toolbar(view: View) -> html.Div:
    """The controls, as the address sets them."""
    first, last = view.window or (None, None)
    smooth = [{"value": kind, "label": SMOOTH_WORDS.get(kind, f"Median of {kind}")} for kind in SMOOTH]
    return html.Div(
        [
            _labelled(
                "Steps",
                html.Div(
                    [
                        _step("first-step", "First step shown", "first", first),
                        html.Span("–"),
                        _step("last-step", "Last step shown", "last", last),
                    ],
                    className="steps-shown",
                ),
            ),
            dmc.Button("Whole run", id="whole-run", variant="default", size="xs", style={"display": "none"}),
            _labelled(
                "Axis",
                dmc.SegmentedControl(
                    id="axis",
                    value=view.axis,
                    data=[{"value": axis, "label": AXIS_WORDS[axis]} for axis in AXES],
                    size="xs",
                    **aria(label="Vertical axis"),
                ),
            ),
            _labelled(
                "Smoothing",
                dmc.Select(
                    id="smooth", value=view.smooth, data=smooth, size="xs", allowDeselect=False, w=132,
                    **aria(label="Smoothing"),
                ),
            ),
            html.P(id="plots-caption", className="plots-caption"),
        ],
        id="toolbar",
        className="toolbar",
        role="group",
        **aria(label="What the plots show"),
    )  # fmt: skip


def depth_choice(view: View) -> html.Div:
    """How far the layers' paths are followed; the choices come with the run."""
    chosen = str(view.depth) if view.depth else "auto"
    select = dmc.Select(
        id="depth", value=chosen, data=depths(None), size="xs", allowDeselect=False, w=170,
        **aria(label="Group layers by"),
    )  # fmt: skip
    opened = dmc.MultiSelect(
        id="open", value=sorted(view.opened), data=sorted(view.opened), size="xs", searchable=True, clearable=True,
        maxValues=MOST_OPEN, placeholder="Choose groups, or select their names on a map", className="opened",
        **aria(label="Groups of layers unfolded"),
    )  # fmt: skip
    unfolded = html.Div(_labelled("Unfolded", opened), id="open-choice", style={"display": "none"})
    return html.Div([_labelled("Layers", select), unfolded], id="depth-choice", className="toolbar")


def depths(run: Run | None) -> list[dict[str, str]]:
    """The levels that this run's layers can be grouped by."""
    deepest = layer_tree.depths_of(run.layer_names) if run is not None else 1
    levels = [
        {"value": str(depth), "label": f"First {depth} path parts" if depth > 1 else "First path part"}
        for depth in range(1, deepest)
    ]
    return [{"value": "auto", "label": "As fits"}, *levels, {"value": str(max(deepest, 2)), "label": "Every layer"}]


def signal_choice(view: View) -> html.Div:
    """Which of the log's other signals are drawn."""
    select = dmc.MultiSelect(
        id="signals", value=list(view.signals), data=list(view.signals), size="xs", searchable=True, clearable=True,
        maxValues=6, placeholder="Choose up to six", **aria(label="Other signals"),
    )  # fmt: skip
    return html.Div(select, id="signals-choice", className="signals-choice")


def _labelled(word: str, control: Any) -> html.Div:
    return html.Div([html.Span(word, className="toolbar-word", **aria(hidden="true")), control], className="labelled")


def _step(identity: str, label: str, empty: str, value: int | None) -> html.Label:
    box = dcc.Input(
        id=identity, value=value, type="number", min=0, step=1, className="step-input", debounce=True, placeholder=empty
    )
    return html.Label([html.Span(label, className="unseen"), box])
