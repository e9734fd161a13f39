"""Curves of several runs in one plot, over steps, epochs, hours or samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final, Literal

import numpy as np
import plotly.graph_objects as go

from diagnose import facts
from diagnose.dashboard.lines import alone
from diagnose.dashboard.reduction import reduced
from diagnose.dashboard.store import Entry
from diagnose.logs.layout import OWN_TAGS
from diagnose.reports.figures import MOST_POINTS, SEVERAL, spans_decades, themed
from diagnose.run import Run, Series, Values
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

Axis = Literal["step", "epoch", "hours", "samples"]
AXES: Final[tuple[Axis, ...]] = ("step", "epoch", "hours", "samples")
# Okabe and Ito's eight, and two greys: ten runs stay apart for colour-blind eyes, the dashes help beyond five.
COLOURS: Final = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B5A300", "#6A51A3", "#8A8F98", "#444B55",
)  # fmt: skip
UNKNOWN: Final[Mapping[Axis, str]] = {
    "step": "",
    "epoch": "epochs need batch_size and dataset_size in its config",
    "hours": "its values bear no times",
    "samples": "samples need batch_size in its config (steps × batch × accumulated micro-steps)",
}
# The three that a dark page would swallow, as they are drawn on one; assets/compare.css has the same for the legend.
ON_DARK: Final = {"#0072B2": "#3F8EE0", "#6A51A3": "#A48EDC", "#444B55": "#D3D8DF"}
DASHES: Final = ("solid",) * 5 + ("dash",) * 5
MOST_RUNS: Final = len(COLOURS)
FIRST: Final = (TRAIN_LOSS, VALIDATION_LOSS)
SECONDS_AN_HOUR: Final = 3600.0


def signals(entries: Sequence[Entry]) -> list[str]:
    """Every scalar that some of the runs logged, the losses first."""
    every = {name for entry in entries if entry.diagnosis for name in entry.diagnosis.run.scalars}
    shown = sorted(name for name in every if not name.startswith(OWN_TAGS))
    return [*(name for name in FIRST if name in every), *(name for name in shown if name not in FIRST)]


def figure(entries: Sequence[Entry], signal: str, axis: Axis, *, dark: bool) -> go.Figure:
    """The signal of each run that logged it, in the runs' order and colours."""
    drawn = go.Figure()
    heights, colours = [], []
    for place, entry in enumerate(entries[:MOST_RUNS]):
        series = entry.diagnosis.run.scalar(signal) if entry.diagnosis else None
        if entry.diagnosis is None or series is None or not len(series.finite):
            continue
        kept = reduced(series, MOST_POINTS)
        along = _along(entry.diagnosis.run, kept, axis)
        if along is None:
            continue
        heights.append(kept.finite.values)
        colours.append(COLOURS[place])
        drawn.add_trace(
            go.Scatter(
                x=along, y=kept.values, name=escape(entry.name), mode=_mode(kept), marker={"size": 5},
                line={"dash": DASHES[place], "width": 1.6},
                hovertemplate="%{y:.4g}",
            )
        )  # fmt: skip
    every = np.concatenate(heights) if heights else np.empty(0)
    logarithmic = bool(len(every)) and spans_decades(every)
    drawn.update_layout(
        xaxis={"title": {"text": axis}, "automargin": True}, hovermode="x unified", showlegend=False,
        uirevision=f"{signal} {axis}",  # a zoom outlasts new points, also one made while these are on their way
        yaxis={"type": "log", "exponentformat": "power"} if logarithmic else {"automargin": True},
    )  # fmt: skip
    themed(drawn, dark)
    for trace, colour in zip(drawn.data, colours, strict=True):
        trace.line.color = trace.marker.color = ON_DARK.get(colour, colour) if dark else colour
    return drawn.update_layout(margin={"l": 48, "r": 8, "t": 8, "b": 40})


def _mode(drawn: Series) -> str:
    """With points where a line alone would hide that there are few values, or that one stands between gaps."""
    return "lines+markers" if len(drawn) < SEVERAL or alone(drawn.values).any() else "lines"


def left_out(entries: Sequence[Entry], signal: str, axis: Axis) -> list[str]:
    """A sentence for each run that the figure does not show: what its log does not tell."""
    return [
        f"{entry.name} is not drawn: {reason}."
        for entry in entries[:MOST_RUNS]
        if (reason := _why_not(entry, signal, axis))
    ]


def _why_not(entry: Entry, signal: str, axis: Axis) -> str:
    if entry.diagnosis is None:
        return "it could not be read" if entry.problem else "it is being read"
    run = entry.diagnosis.run
    series = run.scalar(signal)
    if series is None:
        return f"it logs no {signal}"
    if not len(series.finite):
        return f"its {signal} is never a finite number"
    return UNKNOWN[axis] if _along(run, series.finite, axis) is None else ""


def _times(run: Run) -> tuple[float, float] | None:
    """When the run's first and last values were logged; None where its clock stood still."""
    logged = [series.wall_times for series in run.scalars.values() if len(series)]
    begun, ended = min((times[0] for times in logged), default=0.0), max((times[-1] for times in logged), default=0.0)
    return (float(begun), float(ended)) if ended > begun else None


def _along(run: Run, series: Series, axis: Axis) -> Values | None:
    """Where the series' values lie on the axis; None where the log does not tell."""
    steps = series.steps.astype(np.float64)
    if axis == "step":
        return steps
    if axis == "hours":
        times = _times(run)
        return (series.wall_times - times[0]) / SECONDS_AN_HOUR if times is not None else None
    if axis == "samples":
        batch = facts.effective_batch_size(run.setup)
        return steps * batch if batch else None
    per_epoch = facts.steps_per_epoch(run.setup)
    return steps / per_epoch if per_epoch else None
