"""The lines of one signal on the run page: raw, smoothed, and crosses where it is no number."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from html import escape
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from diagnose.dashboard.reduction import reduced, within
from diagnose.dashboard.smoothing import smoothed
from diagnose.dashboard.view import View
from diagnose.reports.figures import ON_DARK, PALETTE, SEVERAL
from diagnose.run import Series, Values

POINTS_A_PIXEL: Final = 2  # the lowest and the highest value
MOST_CROSSES: Final = 60
FAINT: Final = 0.35

LONE: Final = {"mode": "markers", "showlegend": False, "hoverinfo": "skip", "hovertemplate": None}

Trace = dict[str, Any]


def traces(name: str, series: Series, colour: str, view: View, *, dark: bool) -> Iterator[Trace]:
    """Plotly's traces of the steps that are shown."""
    part = within(series, view.window)
    drawn = reduced(part, POINTS_A_PIXEL * view.width)
    smooth = smoothed(series, view.smooth, view.window)
    label = escape(name)
    colour = on(colour, dark=dark)
    few = len(drawn) < SEVERAL
    raw = line(label, drawn.steps, drawn.values, colour)
    raw |= {"mode": "lines+markers" if few else "lines", "marker": {"size": 5, "color": colour}}
    if smooth is not None:
        raw |= {"opacity": FAINT, "showlegend": False, "hoverinfo": "skip", "hovertemplate": None}
        raw["line"] = {"color": colour, "width": 1}
    yield raw
    if not few and (lone := alone(drawn.values)).any():
        yield {**raw, "x": packed(drawn.steps[lone]), "y": packed(drawn.values[lone]), **LONE}
    if smooth is not None:
        over = reduced(smooth.line, POINTS_A_PIXEL * view.width)
        yield line(label, over.steps, over.values, colour)
    broken = part.steps[~np.isfinite(part.values)]
    if len(broken):
        yield _crosses(broken, part, label, dark=dark)


def alone(values: Values) -> NDArray[np.bool_]:
    """Which values have none beside them that a line could be drawn from or to."""
    sound = np.pad(np.isfinite(values), 1)
    found: NDArray[np.bool_] = sound[1:-1] & ~sound[:-2] & ~sound[2:]
    return found


def line(label: str, steps: NDArray[Any], values: NDArray[Any], colour: str, **style: Any) -> Trace:
    """One line that tells its value under the pointer."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label,
        "x": packed(steps),
        "y": packed(values),
        "line": {"color": colour, "width": 2, **style},
        "hovertemplate": "%{y:.4g}",
    }


def on(colour: str, *, dark: bool) -> str:
    """The palette's colour as it stands out on a light or a dark page."""
    return ON_DARK.get(colour, colour) if dark else colour


def packed(values: NDArray[Any]) -> dict[str, str]:
    """An array as Plotly reads it without loss, a third as long as digits."""
    as_floats = np.ascontiguousarray(values, np.float64)
    told = {"dtype": "f8", "bdata": b64encode(as_floats.tobytes()).decode()}
    return told if values.ndim == 1 else {**told, "shape": ", ".join(map(str, values.shape))}


def _crosses(steps: NDArray[np.int64], part: Series, label: str, *, dark: bool) -> Trace:
    """A line with NaN has only a hole: crosses at the top say where it is."""
    shown = steps[np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MOST_CROSSES)).astype(int))]
    sound = part.finite.values
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{label} is NaN or infinite",
        "x": packed(shown),
        "y": packed(np.full(len(shown), float(sound.max()) if len(sound) else 1.0)),
        "marker": {"symbol": "x", "size": 8, "color": on(PALETTE["ill"], dark=dark)},
        "hovertemplate": "not a number<extra></extra>",
    }
