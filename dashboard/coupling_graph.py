"""The coupling graph as a drawing: settings on a circle, what a change pulls along standing out."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, sin
from typing import Final

import plotly.graph_objects as go

from diagnose.diagnosis import Change
from diagnose.prescriptions.couplings import GRAPH
from diagnose.reports.figures import PALETTE, themed

ORDER: Final = (
    "batch_size", "accumulation_steps", "lr", "momentum", "scheduler", "warmup_steps", "decay_steps", "steps", "epochs",
    "early_stopping", "max_norm", "weight_decay", "dropout", "augmentation", "label_smoothing", "temperature",
    "normalization", "initialization", "activation", "width", "depth", "model", "optimizer",
)  # fmt: skip
RADIUS_OF_NAMES: Final = 1.12


def figure(changes: Sequence[Change], *, dark: bool) -> go.Figure:
    """All couplings in grey; those between settings that `changes` move, in colour."""
    moved = {change.setting for change in changes}
    places = {name: 2 * pi * number / len(ORDER) for number, name in enumerate(ORDER)}
    drawn = go.Figure()
    for active in (False, True):
        edges = [c for c in GRAPH if ({c.source, c.target} <= moved) is active and {c.source, c.target} <= set(places)]
        drawn.add_trace(_lines([(places[c.source], places[c.target]) for c in edges], active=active))
    drawn.add_trace(
        go.Scatter(
            x=[cos(angle) for angle in places.values()], y=[sin(angle) for angle in places.values()], mode="markers",
            marker={"size": 9, "color": [PALETTE["train"] if n in moved else PALETTE["quiet"] for n in places]},
            text=[_pulls(name) for name in places], hovertemplate="%{text}<extra></extra>", showlegend=False,
        )
    )  # fmt: skip
    for name, angle in places.items():
        text = f"<b>{name}</b>" if name in moved else name
        drawn.add_annotation(
            x=RADIUS_OF_NAMES * cos(angle), y=RADIUS_OF_NAMES * sin(angle), text=text,
            showarrow=False, xanchor="left" if cos(angle) > 0.1 else "right" if cos(angle) < -0.1 else "center",
            font={"size": 11},
        )  # fmt: skip
    drawn.update_xaxes(visible=False, range=[-1.9, 1.9])
    drawn.update_yaxes(visible=False, range=[-1.35, 1.35])
    themed(drawn, dark)
    return drawn.update_layout(margin={"l": 0, "r": 0, "t": 0, "b": 0}, showlegend=False)


def _lines(edges: Sequence[tuple[float, float]], *, active: bool) -> go.Scatter:
    x: list[float | None] = []
    y: list[float | None] = []
    for source, target in edges:
        x += [cos(source), cos(target), None]
        y += [sin(source), sin(target), None]
    line = {"color": PALETTE["train"] if active else PALETTE["quiet"], "width": 2 if active else 0.6}
    return go.Scatter(
        x=x, y=y, mode="lines", line=line, opacity=1.0 if active else 0.35, hoverinfo="skip", showlegend=False
    )


def _pulls(name: str) -> str:
    targets = [coupling.target for coupling in GRAPH if coupling.source == name]
    return f"{name} pulls {', '.join(targets)}" if targets else f"{name} is pulled, and pulls nothing"
