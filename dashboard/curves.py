"""The run page's plots over steps: which signals each one draws, and how it shows findings' windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import plotly.graph_objects as go

from diagnose.dashboard.failures import drawn_or_told
from diagnose.dashboard.lines import Trace, line, on, traces
from diagnose.dashboard.view import View, Window
from diagnose.diagnosis import Diagnosis
from diagnose.facts import effective_batch_size, stable_below
from diagnose.logs.layout import OWN_TAGS
from diagnose.reports.figures import PALETTE, line_colours, mark_windows, marked_findings, spans_decades, themed
from diagnose.run import Run, Series, Values
from diagnose.signals import (
    GRAD_NORM,
    GRAD_NORM_UNCLIPPED,
    LR,
    LR_SHARPNESS,
    NOISE_SCALE,
    TRAIN_LOSS,
    VALIDATION_LOSS,
)

AROUND_WINDOW: Final = 0.5  # of its length, shown on either side: trouble is read against what was before
LEAST_AROUND: Final = 0.02  # of the run: a window of one step needs surroundings too
EDGE: Final = 0.01  # of the run, beside its first and last step
MOST_TICKS: Final = 8
MOST_OTHERS: Final = 6  # lines that a person may choose into one plot

TITLES: Final = {
    "loss": "Loss",
    "lr": "Learning rate",
    "grad-norm": "Gradient norm",
    "curvature": "Curvature: η·λ_max",
    "noise": "Gradient noise scale against the batch, samples",
    "other": "Other signals",
}
LINEAR: Final = ("lr",)  # a schedule is read by its shape; its last steps towards zero would fill a logarithmic axis

Figure = dict[str, Any]


def figures(diagnosis: Diagnosis, view: View, *, dark: bool, revision: str) -> dict[str, Figure]:
    """The plots that this run's signals allow, by id, with the points of the steps that `view` shows."""
    drawn = {}
    for plot, names in _signals(diagnosis.run, view).items():
        logged = {name: series for name in names if (series := diagnosis.run.scalar(name)) is not None}
        if logged:
            drawn[plot] = drawn_or_told(partial(_figure, diagnosis, plot, logged, view, dark=dark))
            drawn[plot]["layout"]["uirevision"] = revision
    return drawn


def other_signals(run: Run) -> list[str]:
    """The scalars of the log that have no plot of their own."""
    drawn = {name for names in _signals(run, View()).values() for name in names}
    return sorted(name for name in run.scalars if name not in drawn and run.scalar(name) and not _own(name))


def steps_around(window: Window, run: Run) -> Window:
    """The window with what was before and after it."""
    first, last = window
    around = max(1, int(AROUND_WINDOW * (last - first)), int(LEAST_AROUND * run.steps))
    return max(0, first - around), last + around


def x_axis(run: Run, view: View) -> dict[str, Any]:
    """The steps that every plot shows: the same on all, so that they can be read one below the other."""
    edge = max(EDGE * run.length, 0.5)
    shown = view.window or (run.start - edge, run.steps + edge)
    title = {"text": "step", "standoff": 6}
    told = {"title": title, "automargin": True, "hoverformat": ",d", "range": list(shown), "autorange": False}
    return {**told, "uirevision": str(view.window)}


def themed_layout(*, dark: bool) -> dict[str, Any]:
    """A layout in light or dark, for a card: the card has the title, and its padding is margin enough."""
    layout = _plain(themed(go.Figure(), dark))
    return {**layout, "autosize": True, "margin": {"l": 4, "r": 8, "t": 8, "b": 4}}


def _signals(run: Run, view: View) -> Mapping[str, Sequence[str]]:
    rates = [name for name in run.scalars if name.startswith(LR.partition("/")[0] + "/")]
    return {
        "loss": (TRAIN_LOSS, VALIDATION_LOSS),
        "lr": rates,
        "grad-norm": (GRAD_NORM, GRAD_NORM_UNCLIPPED),
        "curvature": (LR_SHARPNESS,),
        "noise": (NOISE_SCALE,) if effective_batch_size(run.setup) else (),
        "other": [name for name in view.signals if not _own(name)][:MOST_OTHERS],
    }


def _own(name: str) -> bool:
    return name.startswith(OWN_TAGS)


def _figure(diagnosis: Diagnosis, plot: str, logged: Mapping[str, Series], view: View, *, dark: bool) -> Figure:
    drawn: list[Trace] = []
    smoothing = View(view.window, smooth="off", width=view.width) if plot in LINEAR else view
    for colour, (name, series) in zip(line_colours(list(logged)), logged.items(), strict=True):
        drawn += traces(name, series, colour, smoothing, dark=dark)
    level = _level(diagnosis.run, plot)
    if level is not None:
        drawn.append(_level_line(*level, diagnosis.run, view, dark=dark))
    layout = _layout(diagnosis, plot, view, dark=dark)
    layout["xaxis"] |= x_axis(diagnosis.run, view)
    layout["yaxis"] |= _y_axis(plot, logged, view)
    if sum(trace.get("showlegend", True) for trace in drawn) < 2 and plot not in {"loss", "other"}:
        layout |= {"showlegend": False, "margin": {**layout["margin"], "b": 4}}
    return {"data": drawn, "layout": layout}


def _layout(diagnosis: Diagnosis, plot: str, view: View, *, dark: bool) -> dict[str, Any]:
    """The findings' windows on every plot; their names stand on the loss curve alone, within the steps shown."""
    layout = deepcopy(_marked(diagnosis, dark=dark))
    if view.window is not None:
        for name, found in zip(layout.get("annotations", ()), marked_findings(diagnosis), strict=False):
            if found.window[1] > view.window[0]:
                name["x"] = max(name["x"], view.window[0])
    if plot != "loss":
        layout |= {"annotations": [], "margin": {**layout["margin"], "t": 8}}
        layout["shapes"] = [shape for shape in layout.get("shapes", ()) if shape["y1"] <= 1]
    marked = [
        {"place": diagnosis.findings.index(found), "window": list(found.window)} for found in marked_findings(diagnosis)
    ]
    return {**layout, "meta": {"windows": marked, "overSteps": True}}


_MARKED: WeakKeyDictionary[Diagnosis, dict[bool, dict[str, Any]]] = WeakKeyDictionary()


def _marked(diagnosis: Diagnosis, *, dark: bool) -> dict[str, Any]:
    """The layout with the findings' windows, made once for a diagnosis; not to be written to."""
    known = _MARKED.setdefault(diagnosis, {})
    if dark not in known:
        figure = go.Figure()
        mark_windows(figure, diagnosis)
        above = figure.layout.margin.t
        layout = _plain(themed(figure, dark))
        layout |= {"autosize": True, "margin": {"l": 4, "r": 8, "t": above, "b": 76}}
        known[dark] = {**layout, "hovermode": "x unified", "showlegend": True}
    return known[dark]


def _plain(figure: go.Figure) -> dict[str, Any]:
    layout: dict[str, Any] = figure.layout.to_plotly_json()
    layout.pop("template", None)
    layout["modebar"] = {"bgcolor": "rgba(0,0,0,0)", "color": PALETTE["quiet"], "activecolor": layout["font"]["color"]}
    return {**layout, "xaxis": layout.get("xaxis", {}), "yaxis": layout.get("yaxis", {})}


def _y_axis(plot: str, logged: Mapping[str, Series], view: View) -> dict[str, Any]:
    """Fitted to what is shown: a zoom along the steps never leaves a curve outside."""
    sound = [series.finite.values for series in logged.values() if len(series.finite)]
    chosen = view.axis == "log" or (view.axis == "auto" and plot not in LINEAR)
    ends = np.array([[float(values.min()), float(values.max())] for values in sound]).ravel()
    wide = bool(len(ends)) and spans_decades(ends)
    logarithmic = chosen and (wide or view.axis == "log")
    axis: dict[str, Any] = {"title": {"text": ""}, "automargin": True, "fixedrange": True, "autorange": True}
    if logarithmic:
        axis |= {"type": "log", "exponentformat": "power", **({"dtick": _decades_apart(ends)} if wide else {})}
    else:
        axis |= {"type": "linear", "rangemode": "tozero", "exponentformat": "e" if plot in LINEAR else "B"}
    if view.window is not None:
        axis |= _heights(list(logged.values()), view.window, logarithmic=logarithmic)
    return axis


def _decades_apart(ends: Values) -> int:
    """Powers of ten from one tick to the next, so that a loss which blows up does not write them over one another."""
    return int(-(-(np.log10(ends.max()) - np.log10(ends.min())) // MOST_TICKS)) or 1


def _heights(every: Sequence[Series], shown: Window, *, logarithmic: bool) -> dict[str, Any]:
    parts = [_values_within(series, shown) for series in every]
    values = np.concatenate(parts) if parts else np.empty(0)
    values = np.log10(values[values > 0]) if logarithmic else values
    if not len(values):
        return {}
    low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or 0.1 * (abs(high) or 1.0)
    decades = {"dtick": None} if high - low < 1 and logarithmic else {}
    return {"range": [low - margin, high + margin], "autorange": False, **decades}


def _values_within(series: Series, shown: Window) -> Values:
    first, last = np.searchsorted(series.steps, shown[0]), np.searchsorted(series.steps, shown[1], side="right")
    values = series.values[first:last]
    return values[np.isfinite(values)]


def _level(run: Run, plot: str) -> tuple[str, float] | None:
    """What a curve is held against."""
    if plot == "curvature":
        return "stable below", stable_below(run.setup)
    batch = effective_batch_size(run.setup)
    return ("batch", batch) if plot == "noise" and batch else None


def _level_line(name: str, height: float, run: Run, view: View, *, dark: bool) -> Trace:
    ends = np.array(view.window or (run.start, run.steps))
    colour = on(PALETTE["ill"], dark=dark)
    return line(f"{name} {height:.3g}", ends, np.full(2, height), colour, dash="dash", width=1.5)
