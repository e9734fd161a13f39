"""The run page's plots: which signals each one draws, and how it shows a finding's window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import plotly.graph_objects as go

from diagnose.diagnosis import Diagnosis
from diagnose.facts import effective_batch_size
from diagnose.reports.figures import PALETTE, layer_heatmap, loss_figure, signal_figure, themed
from diagnose.run import Run
from diagnose.signals import (
    GRAD_NORM,
    LAYER_ACTIVATION_VARIANCE,
    LAYER_GRAD_NORM,
    LAYER_UPDATE_RATIO,
    LAYER_ZERO_FRACTION,
    LR,
    LR_SHARPNESS,
    NOISE_SCALE,
)

Window = tuple[int, int]

AROUND_WINDOW: Final = 0.5  # of its length, shown on either side: trouble is read against what was before
LEAST_AROUND: Final = 0.02  # of the run: a window of one step needs surroundings too

_TITLES: Final = {
    "loss": "Loss",
    "lr": "Learning rate",
    "grad-norm": "Gradient norm",
    "layer-grad-norm": "Gradient norm by layer",
    "layer-variance": "Activation variance by layer",
    "layer-update": "Update ratio by layer",
    "layer-zeros": "Share of zeros by layer",
    "curvature": "Curvature: η·λ_max",
    "noise": "Gradient noise scale against the batch",
}


def titles() -> Mapping[str, str]:
    """Every plot's id with its title, in the order of the page."""
    return _TITLES


def figures(diagnosis: Diagnosis, *, dark: bool, window: Window | None, revision: str) -> dict[str, go.Figure]:
    """The plots that this run's signals allow, by id.

    `window` sets the steps that are shown. Under the same `revision` and window a plot keeps the zoom
    that it was given on the page; a new window is shown whatever was zoomed before.
    """
    drawn: dict[str, go.Figure] = {}
    for plot, draw in _drawers(diagnosis).items():
        figure = _compact(themed(draw(), dark), plot)
        if window is not None:
            _show_steps(figure, _steps_around(window, diagnosis.run.steps))
        figure.update_layout(uirevision=f"{revision} {window}")
        drawn[plot] = figure
    return drawn


def _drawers(diagnosis: Diagnosis) -> dict[str, Callable[[], go.Figure]]:
    run = diagnosis.run
    rates = [name for name in run.scalars if name.startswith(LR.partition("/")[0] + "/")]
    norms = [name for name in (GRAD_NORM, "grad_norm_unclipped") if run.scalar(name)]
    drawers: dict[str, Callable[[], go.Figure]] = {"loss": lambda: loss_figure(diagnosis)}
    if rates:
        drawers["lr"] = lambda: signal_figure(diagnosis, rates)
    if norms:
        drawers["grad-norm"] = lambda: signal_figure(diagnosis, norms)
    if run.per_layer(LAYER_GRAD_NORM):
        drawers["layer-grad-norm"] = lambda: layer_heatmap(diagnosis, LAYER_GRAD_NORM)
    if run.per_layer(LAYER_ACTIVATION_VARIANCE):
        drawers["layer-variance"] = lambda: layer_heatmap(diagnosis, LAYER_ACTIVATION_VARIANCE)
    if run.per_layer(LAYER_UPDATE_RATIO):
        drawers["layer-update"] = lambda: layer_heatmap(diagnosis, LAYER_UPDATE_RATIO)
    if run.per_layer(LAYER_ZERO_FRACTION):
        drawers["layer-zeros"] = lambda: layer_heatmap(diagnosis, LAYER_ZERO_FRACTION)
    if run.scalar(LR_SHARPNESS):
        drawers["curvature"] = lambda: _with_line(signal_figure(diagnosis, [LR_SHARPNESS]), _limit(run), "stable below")
    batch = effective_batch_size(run.setup)
    if run.scalar(NOISE_SCALE) and batch:
        drawers["noise"] = lambda: _with_line(signal_figure(diagnosis, [NOISE_SCALE]), batch, "batch")
    return drawers


def _limit(run: Run) -> float:
    """What η·λ_max has to stay under: 2 for gradient descent, 2(1 + β) with momentum (K20, Cohen et al. 2021)."""
    return 2 * (1 + (run.setup.optimizer_setting("momentum") or 0.0))


def _with_line(figure: go.Figure, height: float, name: str) -> go.Figure:
    """The figure with a level to hold it against, named in the legend."""
    steps = [step for trace in figure.data for step in (trace.x[0], trace.x[-1])] if figure.data else [0, 1]
    line = {"color": PALETTE["ill"], "dash": "dash", "width": 1.5}
    ends = [min(steps), max(steps)]
    return figure.add_trace(go.Scatter(x=ends, y=[height] * 2, name=f"{name} {height:.3g}", mode="lines", line=line))


def _compact(figure: go.Figure, plot: str) -> go.Figure:
    """The figure for a card: the card has the title, and its padding is margin enough."""
    figure.update_xaxes(title_standoff=6, automargin=True)
    figure.update_yaxes(title_text="", automargin=True)
    figure.update_layout(margin={"l": 4, "r": 8}, autosize=True, height=None)
    return figure if plot == "loss" else _without_names(figure, plot)


def _without_names(figure: go.Figure, plot: str) -> go.Figure:
    """A small plot keeps its findings' shaded windows; their names stand on the loss curve alone."""
    figure.layout.annotations = ()
    figure.layout.shapes = [shape for shape in figure.layout.shapes if shape.y1 <= 1]
    figure.update_layout(margin={"t": 8})
    if sum(trace.showlegend is not False for trace in figure.data) < 2:
        figure.update_layout(showlegend=False, margin={"b": 4})
    if plot == "lr":  # a schedule is read by its shape; its last steps towards zero would fill a logarithmic axis
        figure.update_yaxes(type="linear", dtick=None, rangemode="tozero", exponentformat="e")
    return figure


def _steps_around(window: Window, last_step: int) -> Window:
    first, last = window
    around = max(1, int(AROUND_WINDOW * (last - first)), int(LEAST_AROUND * last_step))
    return max(0, first - around), last + around


def _show_steps(figure: go.Figure, shown: Window) -> None:
    """Zoom to the steps, and to the heights that the curves have there."""
    figure.update_xaxes(range=list(shown), autorange=False)
    heights = [_heights_within(trace, shown) for trace in figure.data if trace.type in {"scatter", "scattergl"}]
    values = np.concatenate(heights) if heights else np.empty(0)
    if not len(values):
        return
    logarithmic = figure.layout.yaxis.type == "log"
    values = np.log10(values[values > 0]) if logarithmic else values
    if len(values):
        margin = 0.08 * float(np.ptp(values)) or 0.1
        figure.update_yaxes(range=[float(values.min()) - margin, float(values.max()) + margin], autorange=False)


def _heights_within(trace: go.Scatter, shown: Window) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if trace.x is None or trace.y is None:
        return np.empty(0)
    steps, values = np.asarray(trace.x, np.float64), np.asarray(trace.y, np.float64)
    return values[(steps >= shown[0]) & (steps <= shown[1]) & np.isfinite(values)]
