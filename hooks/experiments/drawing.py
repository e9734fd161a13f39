"""The figures of the experiments, in the reports' colours."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from diagnose.reports.figures import PALETTE, themed
from diagnose.reports.numbers import shown

if TYPE_CHECKING:
    from diagnose.hooks.experiments.calibration import Calibration
    from diagnose.hooks.experiments.landscape import LossLandscape
    from diagnose.hooks.experiments.range_curve import LearningRateRange


def range_figure(found: LearningRateRange) -> go.Figure:
    """The loss over the rate, raw and smoothed; a second pass beside the first."""
    figure = go.Figure()
    passes = [("loss", found, "train"), *([("closer look", found.closer, "third")] if found.closer else [])]
    for name, one, colour in passes:
        raw = {"mode": "markers", "marker": {"color": PALETTE[colour], "size": 4, "opacity": 0.35}, "showlegend": False}
        figure.add_trace(go.Scatter(x=one.rates, y=one.losses, name=name, hoverinfo="skip", **raw))
        line = {"mode": "lines", "line": {"color": PALETTE[colour], "width": 2}}
        hover = "rate %{x:.3g}<br>loss %{y:.3g}"
        figure.add_trace(go.Scatter(x=one.rates, y=one.smoothed, name=f"{name}, smoothed", hovertemplate=hover, **line))
    _mark(figure, found.suggestion, "steepest fall", "ill", above_px=18)
    _mark(figure, found.careful, "lowest ÷ 10", "quiet", above_px=2)
    everything = [one.smoothed for _, one, _ in passes]
    low, high = min(values.min() for values in everything), max(values[:10].max() for values in everything)
    room = 0.15 * (high - low) or 1.0
    figure.update_layout(
        xaxis={"type": "log", "title": {"text": "learning rate"}, "exponentformat": "power", "dtick": 1},
        yaxis={"title": {"text": "loss"}, "range": [low - room, high + 3 * room]},
    )
    figure = themed(figure, dark=False)
    figure.update_layout(margin={"t": 48})
    return figure


def reliability_figure(found: Calibration) -> go.Figure:
    """Accuracy over confidence before and after, and how many samples each confidence has."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.75, 0.25], vertical_spacing=0.06)
    line = {"color": PALETTE["quiet"], "dash": "dot", "width": 1}
    figure.add_trace(go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, name="as sure as right", hoverinfo="skip"))
    for name, side, colour in (("before", found.before, "ill"), ("after", found.after, "train")):
        there = side.counts > 0
        told = f"{name}: ECE {shown(side.ece)}"
        hover = "sure %{x:.3g}<br>right %{y:.3g}"
        curve = {"mode": "lines+markers", "line": {"color": PALETTE[colour], "width": 2}, "hovertemplate": hover}
        figure.add_trace(go.Scatter(x=side.confidence[there], y=side.accuracy[there], name=told, **curve))
        middles = (np.arange(len(side.counts)) + 0.5) / len(side.counts)
        bars = {"marker": {"color": PALETTE[colour]}, "opacity": 0.6, "showlegend": False}
        share = side.counts / side.counts.sum()
        figure.add_trace(go.Bar(x=middles, y=share, name=name, hovertemplate="%{y:.1%}", **bars), row=2, col=1)
    figure.update_xaxes(range=[0, 1])
    figure.update_yaxes(title={"text": "accuracy"}, range=[0, 1], row=1, col=1)
    figure.update_yaxes(title={"text": "share"}, tickformat=".0%", row=2, col=1)
    figure.update_xaxes(title={"text": "confidence"}, row=2, col=1)
    figure = themed(figure, dark=False)
    figure.update_layout(margin={"t": 16}, barmode="group")
    return figure


def landscape_figure(found: LossLandscape) -> go.Figure:
    """A line with the parabola of its curvature, or a plane as contours of the loss."""
    named = "updates" if found.direction == "last update" else "along a random direction, in its lengths"
    if found.across is None:
        parabola = found.loss + _slope(found) * found.along + 0.5 * found.curvature * found.along**2
        top = found.losses[np.isfinite(found.losses)].max()
        drawn = np.where(parabola <= top, parabola, np.nan)
        quiet = {"color": PALETTE["quiet"], "width": 1, "dash": "dot"}
        figure = go.Figure(
            go.Scatter(x=found.along, y=drawn, mode="lines", line=quiet, name="curvature at the weights")
        )
        line = {"color": PALETTE["train"], "width": 2}
        figure.add_trace(go.Scatter(x=found.along, y=found.losses, mode="lines", line=line, name="loss"))
        figure.update_layout(yaxis={"title": {"text": "loss"}})
    else:
        # The rim of a plane lies decades above its middle: equal steps of the loss would show a ring and nothing in it.
        finite = np.where(np.isfinite(found.losses), found.losses, np.nan)
        logarithmic = bool(np.nanmin(finite) > 0)
        height, unit = (np.log10(finite), "log₁₀ loss") if logarithmic else (finite, "loss")
        bar = {"thickness": 12, "outlinewidth": 0, "title": {"text": unit}}
        contour = {"colorscale": "Cividis", "colorbar": bar, "ncontours": 20, "line": {"width": 0.5}}
        figure = go.Figure(go.Contour(x=found.along, y=found.across, z=height, **contour))
        figure.update_layout(yaxis={"title": {"text": "along another random direction"}})
    here = {"symbol": "circle", "size": 9, "color": PALETTE["ill"]}
    at = [found.loss] if found.across is None else [0.0]
    figure.add_trace(go.Scatter(x=[0.0], y=at, mode="markers", marker=here, name="the weights"))
    figure.update_layout(xaxis={"title": {"text": named}})
    figure = themed(figure, dark=False)
    figure.update_layout(margin={"t": 16})
    return figure


def _slope(found: LossLandscape) -> float:
    """The loss's slope at the weights, from the two points beside them."""
    middle = len(found.along) // 2
    rise: float = found.losses[middle + 1] - found.losses[middle - 1]
    return rise / float(found.along[middle + 1] - found.along[middle - 1])


def _mark(figure: go.Figure, rate: float | None, label: str, colour: str, above_px: int) -> None:
    if rate is None:
        return
    figure.add_vline(x=rate, line={"color": PALETTE[colour], "width": 1, "dash": "dot"})
    figure.add_annotation(  # on a logarithmic axis an annotation stands at the exponent
        x=log10(rate), y=1, yref="paper", yanchor="bottom", yshift=above_px, showarrow=False,
        text=f"{label}: {shown(rate)}", font={"color": PALETTE[colour], "size": 12},
    )  # fmt: skip
