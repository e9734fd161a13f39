"""Per-layer signals over steps as heat maps: one row a layer or a group of layers, the first on top."""

from __future__ import annotations

import warnings
from functools import partial
from html import escape
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from diagnose.dashboard.curves import Figure, themed_layout, x_axis
from diagnose.dashboard.failures import drawn_or_told
from diagnose.dashboard.layer_tree import Row, rows_of
from diagnose.dashboard.lines import on, packed
from diagnose.dashboard.reduction import places_within
from diagnose.dashboard.view import NARROW, View
from diagnose.reports.figures import PALETTE, colours_of
from diagnose.run import LayerSeries, Run
from diagnose.signals import (
    LAYER_ACTIVATION_VARIANCE,
    LAYER_GRAD_NORM,
    LAYER_NONFINITE,
    LAYER_UPDATE_RATIO,
    LAYER_ZERO_FRACTION,
)

TITLES: Final = {
    "layer-grad-norm": "Gradient norm by layer",
    "layer-variance": "Activation variance by layer",
    "layer-update": "Update ratio ‖Δθ‖/‖θ‖ by layer",
    "layer-zeros": "Share of zeros by layer",
}
SIGNALS: Final = {
    "layer-grad-norm": LAYER_GRAD_NORM,
    "layer-variance": LAYER_ACTIVATION_VARIANCE,
    "layer-update": LAYER_UPDATE_RATIO,
    "layer-zeros": LAYER_ZERO_FRACTION,
}
OF_ACTIVATIONS: Final = (LAYER_ACTIVATION_VARIANCE, LAYER_ZERO_FRACTION)
MOST_COLUMNS: Final = 400
MOST_ROWS: Final = 400
ROW_PX, FRAME_PX, LOWEST_PX, HIGHEST_PX = 18, 64, 200, 3700
LONGEST, LONGEST_NARROW = 44, 22  # characters of a row's label; the pointer tells the whole name

Rows = NDArray[np.float64]
Spots = NDArray[np.bool_]


def figures(run: Run, view: View, *, dark: bool, revision: str) -> dict[str, Figure]:
    """The heat maps that this run's signals allow, by id; a cell is the highest value of its layers and steps."""
    drawn = {}
    for plot, signal in SIGNALS.items():
        series = run.per_layer(signal)
        if series is None:
            continue
        drawn[plot] = drawn_or_told(partial(_over_steps, run, signal, series, view, dark=dark))
        drawn[plot]["layout"]["uirevision"] = revision
    return drawn


def _over_steps(run: Run, signal: str, series: LayerSeries, view: View, *, dark: bool) -> Figure:
    rows = rows_of(names_of(run, series.values.shape[1]), view.depth, view.opened)
    part = places_within(series.steps, view.window) if view.window else slice(None)
    steps, values = series.steps[part], series.values[part]
    drawn = heatmap(rows, *_columns(steps, values, broken(run, signal, steps, values)), view, dark=dark)
    drawn["layout"]["xaxis"] |= x_axis(run, view)
    drawn["layout"]["meta"] |= {"overSteps": True}
    return drawn


def names_of(run: Run, width: int) -> list[str]:
    """The layers' names, or their numbers where the set-up does not name as many as the signal holds."""
    return list(run.layer_names) if len(run.layer_names) == width else [f"layer {place}" for place in range(width)]


def broken(run: Run, signal: str, steps: NDArray[np.int64], values: NDArray[np.float32]) -> Spots:
    """Where `values`, of shape (steps, layers), were finite once and are no longer.

    Of activations NaN also says that a layer did not run: there the counts of non-finite outputs decide.
    """
    ill: Spots = ~np.isfinite(values) & np.isfinite(values).any(axis=0)
    if signal in OF_ACTIVATIONS:
        ill &= np.isinf(values) | _counted(run, steps, values.shape[1])
    return ill


def _counted(run: Run, steps: NDArray[np.int64], width: int) -> Spots:
    """Where NaN or infinite outputs were counted, of shape (steps, layers)."""
    counts = run.per_layer(LAYER_NONFINITE)
    if counts is None or counts.values.shape[1] != width:
        return np.zeros((len(steps), width), bool)
    at = np.searchsorted(counts.steps, steps).clip(max=len(counts) - 1)
    found: Spots = (counts.steps[at] == steps)[:, None] & (counts.values[at] > 0)
    return found


def heatmap(
    rows: list[Row], steps: NDArray[np.int64], values: Rows, broken: Spots, view: View, *, dark: bool
) -> Figure:
    """`values` of shape (steps, layers) as rows over steps; what is `broken` stands out.

    Where an axis cannot show its rows' whole labels they are in `meta`, once, for the browser to give to the pointer.
    """
    every, rows = len(rows), rows[:MOST_ROWS]
    cells = np.array([_highest(values[:, row.members]) for row in rows])
    ill = np.array([broken[:, row.members].any(axis=1) for row in rows])
    cells[ill] = np.nan
    short = [_short(row.label, view) for row in rows]
    places = np.arange(len(rows))
    coloured = colours_of(cells)
    shared = {"type": "heatmap", "x": packed(steps), "y": packed(places)}
    cut = short != [row.label for row in rows]  # the axis tells the pointer a whole name by itself
    told = {"hoverongaps": False}
    at = f"%{{{'text' if cut else 'y'}}}<br>step %{{x}}<br>"
    numbers = {**coloured, "z": packed(coloured["z"]), "customdata": packed(cells)}
    data = [{**shared, **told, **numbers, "hovertemplate": f"{at}%{{customdata:.3g}}<extra></extra>"}]
    if ill.any():
        colour = on(PALETTE["ill"], dark=dark)
        solid = {"colorscale": [[0, colour], [1, colour]], "showscale": False, "zmin": 0, "zmax": 1}
        spots = {"z": packed(np.where(ill, 1.0, np.nan)), "hovertemplate": f"{at}not a number<extra></extra>"}
        data.append({**shared, **told, **solid, **spots})
    layout = _layout(rows, short, dark=dark)
    layout["meta"] |= {"labels": [escape(row.label) for row in rows], "columns": len(steps)} if cut else {}
    return {"data": data, "layout": layout | (_told_rest(layout, every) if every > len(rows) else {})}


def _told_rest(layout: Figure, every: int) -> Figure:
    """A line above the map that says how many of its rows are missing."""
    told = f"The first {MOST_ROWS} of {every:,} rows: group the layers to see all."
    place = {"x": 0, "xref": "paper", "xanchor": "left", "y": 1, "yref": "paper", "yanchor": "bottom"}
    return {"annotations": [{"text": told, "showarrow": False, **place}], "margin": {**layout["margin"], "t": 24}}


def _layout(rows: list[Row], labels: list[str], *, dark: bool) -> dict[str, Any]:
    layout = themed_layout(dark=dark)
    layout["yaxis"] |= {
        "range": [len(rows) - 0.5, -0.5],
        "autorange": False,
        "fixedrange": True,
        "automargin": True,
        "tickvals": list(range(len(rows))),
        "ticktext": [escape(label) for label in labels],
        "showgrid": False,
    }
    layout["xaxis"] |= {"showgrid": False}
    height = min(max(LOWEST_PX, FRAME_PX + ROW_PX * len(rows)), HIGHEST_PX)
    return {**layout, "showlegend": False, "meta": {"groups": [row.group for row in rows], "height": height}}


def _short(label: str, view: View) -> str:
    """The label with its middle left out where it is too long: paths are told apart by their ends."""
    most = LONGEST_NARROW if view.width < NARROW else LONGEST
    if len(label) <= most:
        return label
    kept = (most - 1) // 3
    return f"{label[:kept]}…{label[kept + 1 - most :]}"


def _columns(
    steps: NDArray[np.int64], values: NDArray[np.float32], broken: Spots
) -> tuple[NDArray[np.int64], Rows, Spots]:
    """At most so many columns, each the highest value of its share of the steps, broken where one of them is."""
    share = -(-len(steps) // MOST_COLUMNS)
    if share <= 1:
        return steps, values.astype(np.float64), broken
    starts = np.arange(0, len(steps), share)
    highest = np.fmax.reduceat(values, starts, axis=0).astype(np.float64)
    return steps[starts], highest, np.logical_or.reduceat(broken, starts, axis=0)


def _highest(values: Rows) -> NDArray[np.float64]:
    """The highest of the layers at each step; those that did not run at a step are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        highest: NDArray[np.float64] = np.nanmax(np.where(np.isinf(values), np.nan, values), axis=1)
    return highest
