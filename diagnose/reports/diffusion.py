"""The signal-to-noise ratio of diffusion schedules over their steps, and how their steps spread over it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from diagnose.diffusion import BANDS, NoiseSchedule, shares
from diagnose.reports.figures import LINES, PALETTE, themed

FLOOR = -24.0  # of the log-SNR that is drawn: a last step without any signal lies at −∞


def snr_figure(schedules: Sequence[NoiseSchedule]) -> go.Figure:
    """On top each schedule's log-SNR over the share of its steps; below, the share of steps in each band of it."""
    figure = make_subplots(rows=2, cols=1, row_heights=[0.62, 0.38], vertical_spacing=0.2)
    for number, schedule in enumerate(schedules):
        colour = PALETTE[LINES[number % len(LINES)]]
        at = (np.arange(len(schedule.log_snr)) + 1) / len(schedule.log_snr)
        line = {"mode": "lines", "line": {"color": colour, "width": 2}, "name": schedule.name}
        hover = "step %{x:.1%}<br>log-SNR %{y:.3g}"
        figure.add_trace(go.Scatter(x=at, y=np.maximum(schedule.log_snr, FLOOR), hovertemplate=hover, **line))
        bar = {"marker": {"color": colour}, "showlegend": False, "name": schedule.name}
        figure.add_trace(go.Bar(x=_bands(), y=shares(schedule), hovertemplate="%{y:.1%}", **bar), row=2, col=1)
    figure.update_xaxes(title={"text": "share of the steps, towards noise"}, tickformat=".0%", row=1, col=1)
    figure.update_yaxes(title={"text": "log-SNR"}, row=1, col=1)
    figure.update_xaxes(title={"text": "band of log-SNR"}, row=2, col=1)
    figure.update_yaxes(title={"text": "steps"}, tickformat=".0%", row=2, col=1)
    figure = themed(figure, dark=False)
    figure.update_layout(margin={"t": 16}, barmode="group")
    return figure


def _bands() -> list[str]:
    edges = [f"{edge:.0f}".replace("-", "−") for edge in BANDS]
    return [
        f"< {edges[0]}",
        *(f"{low} to {high}" for low, high in pairwise(edges)),
        f"> {edges[-1]}",
    ]
