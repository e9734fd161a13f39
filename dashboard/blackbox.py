"""The last steps before the loss stopped being a number, at full resolution: what the black box kept."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from diagnose.dashboard.curves import Figure, themed_layout
from diagnose.dashboard.heatmaps import broken, heatmap, names_of
from diagnose.dashboard.layer_tree import rows_of
from diagnose.dashboard.lines import Trace, line, on
from diagnose.dashboard.view import View
from diagnose.diagnosis import Diagnosis
from diagnose.findings import Finding
from diagnose.reports.figures import PALETTE
from diagnose.run import Series
from diagnose.signals import GRAD_NORM, LAYER_GRAD_NORM, TRAIN_LOSS

TITLES: Final = {
    "box-curves": "The last steps: loss and gradient norm",
    "box-layers": "The last steps: gradient norm by layer",
}
BEFORE, AFTER = 40, 4  # steps
COLOURS: Final = {TRAIN_LOSS: "train", GRAD_NORM: "third"}


class Break(NamedTuple):
    """Where the loss broke: the finding that says so, and its first step."""

    finding: Finding
    step: int


def break_of(diagnosis: Diagnosis) -> Break | None:
    """The first non-finite loss of the run, None where there is none."""
    found = next((finding for finding in diagnosis.findings if finding.id == "nan_loss"), None)
    return None if found is None else Break(found, found.window[0])


def figures(diagnosis: Diagnosis, view: View, *, dark: bool) -> dict[str, Figure]:
    """The two plots around the break, by id; none for a run that stayed finite."""
    broke = break_of(diagnosis)
    if broke is None:
        return {}
    drawn = {}
    kept = {name: _around(series, broke.step) for name in COLOURS if (series := diagnosis.run.scalar(name)) is not None}
    if any(len(series) for series in kept.values()):
        drawn["box-curves"] = _curves(kept, broke, dark=dark)
    layers = diagnosis.run.per_layer(LAYER_GRAD_NORM)
    if layers is not None:
        near = (layers.steps >= broke.step - BEFORE) & (layers.steps <= broke.step + AFTER)
        if near.any():
            rows = rows_of(names_of(diagnosis.run, layers.values.shape[1]), view.depth, view.opened)
            steps, values = layers.steps[near], layers.values[near]
            ill = broken(diagnosis.run, LAYER_GRAD_NORM, steps, values)
            figure = heatmap(rows, steps, values.astype(np.float64), ill, view, dark=dark)
            drawn["box-layers"] = _with_break(figure, broke, dark=dark)
    return drawn


def _around(series: Series, step: int) -> Series:
    near = (series.steps >= step - BEFORE) & (series.steps <= step + AFTER)
    return Series(series.steps[near], series.values[near], series.wall_times[near])


def _curves(kept: dict[str, Series], broke: Break, *, dark: bool) -> Figure:
    sound = np.concatenate([series.finite.values for series in kept.values()])
    logarithmic = bool(len(sound)) and float(sound.min()) > 0
    traces: list[Trace] = []
    for name, series in kept.items():
        colour = on(PALETTE[COLOURS[name]], dark=dark)
        traces.append({**line(name, series.steps, series.values, colour), "mode": "lines+markers"})
        ill = series.steps[~np.isfinite(series.values)]
        if len(ill):
            top = float(sound.max()) if len(sound) else 1.0
            marker = {"symbol": "x", "size": 8, "color": on(PALETTE["ill"], dark=dark)}
            told = {"showlegend": False, "marker": marker, "hovertemplate": "not a number"}
            traces.append({**line(name, ill, np.full(len(ill), top), colour), "mode": "markers", **told})
    layout = themed_layout(dark=dark)
    layout["yaxis"] |= {"automargin": True, "fixedrange": True}
    layout["yaxis"] |= {"type": "log", "exponentformat": "power"} if logarithmic else {}
    layout["margin"] |= {"b": 64}
    return _with_break({"data": traces, "layout": {**layout, "hovermode": "x unified"}}, broke, dark=dark)


def _with_break(figure: Figure, broke: Break, *, dark: bool) -> Figure:
    """The steps around the break, and a line where it is."""
    layout: dict[str, Any] = figure["layout"]
    layout["xaxis"] |= {
        "title": {"text": "step", "standoff": 6},
        "automargin": True,
        "fixedrange": True,
        "tickformat": "d",
    }
    layout["xaxis"] |= {"range": [max(broke.step - BEFORE, 0) - 0.5, broke.step + AFTER + 0.5], "autorange": False}
    stroke = {"color": on(PALETTE["ill"], dark=dark), "width": 1, "dash": "dot"}
    at = broke.step - 0.5
    layout["shapes"] = [{"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": stroke}]
    return figure
