"""The coupling graph as a drawing: settings on a circle, what a change pulls along standing out."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, sin
from typing import Final

import plotly.graph_objects as go

from diagnose.dashboard.lines import on
from diagnose.diagnosis import Change
from diagnose.prescriptions.coupling import Coupling
from diagnose.prescriptions.couplings import GRAPH
from diagnose.reports.figures import PALETTE, themed

ORDER: Final = (
    "batch_size", "accumulation_steps", "lr", "momentum", "scheduler", "warmup_steps", "decay_steps", "steps", "epochs",
    "early_stopping", "max_norm", "weight_decay", "dropout", "augmentation", "label_smoothing", "temperature",
    "normalization", "initialization", "activation", "width", "depth", "model", "optimizer",
)  # fmt: skip
RADIUS_OF_NAMES: Final = 1.12
FURTHER_OUT: Final = 1.3  # every second name above and below, where they stand side by side
SIDE_BY_SIDE: Final = 0.45  # of the radius: so far to the left and right
LONG_NAME: Final = 12  # letters: longer ones take two lines, so that a telephone shows them whole


def figure(changes: Sequence[Change], *, dark: bool) -> go.Figure:
    """All couplings in grey; those along which `changes` pull one another, as arrows in colour."""
    moved = {change.setting for change in changes}
    colour = on(PALETTE["train"], dark=dark)
    places = {name: 2 * pi * number / len(ORDER) for number, name in enumerate(ORDER)}
    drawn = go.Figure()
    edges = [each for each in GRAPH if {each.source, each.target} <= set(places)]
    pulling = [each for each in edges if _pulls_along(each, changes)]
    drawn.add_trace(_lines([(places[each.source], places[each.target]) for each in edges if each not in pulling]))
    for edge in pulling:
        drawn.add_annotation(_arrow(places[edge.source], places[edge.target], colour))
    drawn.add_trace(
        go.Scatter(
            x=[cos(angle) for angle in places.values()], y=[sin(angle) for angle in places.values()], mode="markers",
            marker={"size": 9, "color": [colour if n in moved else PALETTE["quiet"] for n in places]},
            text=[_pulls(name) for name in places], hovertemplate="%{text}<extra></extra>", showlegend=False,
        )
    )  # fmt: skip
    for number, (name, angle) in enumerate(places.items()):
        radius = FURTHER_OUT if number % 2 and abs(cos(angle)) < SIDE_BY_SIDE else RADIUS_OF_NAMES
        words = name.replace("_", "_<br>") if len(name) > LONG_NAME else name
        text = f"<b>{words}</b>" if name in moved else words
        drawn.add_annotation(
            x=radius * cos(angle), y=radius * sin(angle), text=text,
            showarrow=False, xanchor="left" if cos(angle) > 0.1 else "right" if cos(angle) < -0.1 else "center",
            font={"size": 11},
        )  # fmt: skip
    drawn.update_xaxes(visible=False, range=[-2.4, 2.4])
    drawn.update_yaxes(visible=False, range=[-1.45, 1.45])
    themed(drawn, dark)
    return drawn.update_layout(margin={"l": 0, "r": 0, "t": 0, "b": 0}, showlegend=False)


def _pulls_along(edge: Coupling, changes: Sequence[Change]) -> bool:
    """Whether a change of the edge's source is why its target changes too."""
    source_moves = any(change.setting == edge.source for change in changes)
    return source_moves and any(change.setting == edge.target and edge.because in change.because for change in changes)


def _arrow(source: float, target: float, colour: str) -> go.layout.Annotation:
    return go.layout.Annotation(
        x=cos(target), y=sin(target), ax=cos(source), ay=sin(source), xref="x", yref="y", axref="x", ayref="y",
        text="", showarrow=True, arrowhead=2, arrowsize=1.1, arrowwidth=2, arrowcolor=colour,
        standoff=6, startstandoff=6,
    )  # fmt: skip


def _lines(edges: Sequence[tuple[float, float]]) -> go.Scatter:
    x: list[float | None] = []
    y: list[float | None] = []
    for source, target in edges:
        x += [cos(source), cos(target), None]
        y += [sin(source), sin(target), None]
    line = {"color": PALETTE["quiet"], "width": 0.6}
    return go.Scatter(x=x, y=y, mode="lines", line=line, opacity=0.45, hoverinfo="skip", showlegend=False)


def _pulls(name: str) -> str:
    targets = [coupling.target for coupling in GRAPH if coupling.source == name]
    return f"{name} pulls {', '.join(targets)}" if targets else f"{name} is pulled, and pulls nothing"
