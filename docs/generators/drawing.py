"""Pictures of recorded runs as SVG: a panel of curves, or a heat map of layers.

They stand inside the page, so that its light and dark colours are theirs too (`docs/assets/manual.css`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

import numpy as np
from plotly.colors import sample_colorscale

from diagnose import curves
from diagnose.reports.figures import thinned
from diagnose.reports.numbers import shown
from diagnose.run import LayerSeries, Series, Steps, Values
from generators.axes import Axis

WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 28, 40
NAMES = 118  # pixels for the layers' names, in place of LEFT
BAR = 24  # pixels for the colour scale, in place of RIGHT
ACROSS, INNER = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM  # of a panel of curves; the height is that of both
MOST_POINTS: Final = 300  # of a drawn line
SEVERAL: Final = 80  # values: a line with more is drawn faintly under its running median
MOST_COLUMNS, MOST_ROWS, LONGEST_NAME = 48, 14, 16

Window = tuple[int, int]


def curves_panel(
    heading: str, lines: Mapping[str, Series], steps: Axis, values: Axis, window: Window | None = None
) -> str:
    """Scalar signals over steps; `window` is shaded, and what is no number marked by crosses at the top."""
    parts = [_heading(heading), *_frame(steps, values)]
    if window is not None:
        parts.append(_shade(window, steps))
    for name, series in lines.items():
        parts += _line(name, series, steps, values)
    return _svg(heading, parts)


def heat_panel(
    heading: str, layers: Sequence[str], series: LayerSeries, colours: Axis, window: Window | None = None
) -> str:
    """A per-layer signal over steps, the first layer on top; what lies in `window` has a bar above."""
    columns = np.unique(np.linspace(0, len(series) - 1, min(len(series), MOST_COLUMNS)).astype(int))
    rows = np.unique(np.linspace(0, len(layers) - 1, min(len(layers), MOST_ROWS)).astype(int))
    cells = series.values[np.ix_(columns, rows)].astype(float)
    steps = Axis(float(series.steps[0]), float(max(series.steps[-1], series.steps[0] + 1)))
    width = WIDTH - NAMES - BAR - RIGHT
    wide, high = width / len(columns), INNER / len(rows)
    parts = [_heading(heading)]
    for across, column in enumerate(cells):
        for down, value in enumerate(column):
            x, y = NAMES + across * wide, TOP + down * high
            fill = _colour(value, colours)
            parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide + 0.4:.1f}" height="{high:.1f}" fill="{fill}"/>')
    for down, row in enumerate(rows):
        name = layers[row] if len(layers[row]) <= LONGEST_NAME else f"…{layers[row][1 - LONGEST_NAME :]}"
        parts.append(_text(NAMES - 6, TOP + (down + 0.5) * high + 4, name, "end"))
    if not np.isfinite(cells).any():
        parts.append(_text(NAMES + width / 2, TOP + INNER / 2, "no layer has a value of it", "middle"))
    parts += _step_ticks(steps, NAMES, width)
    parts += _colour_bar(colours, NAMES + width + 8)
    if window is not None:
        first, last = (float(steps.share(np.array(float(step)))) for step in window)
        long = max(2.0, (last - first) * width)
        parts.append(
            f'<rect class="window-bar" x="{NAMES + first * width:.1f}" y="{TOP - 5}" width="{long:.1f}" height="4"/>'
        )
    return _svg(heading, parts)


def _svg(heading: str, parts: Sequence[str]) -> str:
    about = f'role="img" aria-label="{escape(heading)}" data-search-exclude'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" {about}>{"".join(parts)}</svg>'


def _heading(text: str) -> str:
    return f'<text class="heading" x="4" y="14">{escape(text)}</text>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _frame(steps: Axis, values: Axis) -> Iterator[str]:
    for value, label in values.ticks():
        y = TOP + INNER * (1 - float(values.share(np.array(value))))
        yield f'<path class="grid" d="M{LEFT} {y:.1f}h{ACROSS}"/>'
        yield _text(LEFT - 6, y + 4, label, "end")
    yield from _step_ticks(steps, LEFT, ACROSS)


def _step_ticks(steps: Axis, left: int, width: int) -> Iterator[str]:
    for step, label in steps.ticks():
        yield _text(left + width * float(steps.share(np.array(step))), HEIGHT - BOTTOM + 17, label, "middle")
    yield _text(left + width / 2, HEIGHT - 4, "step", "middle")


def _shade(window: Window, steps: Axis) -> str:
    first, last = (float(steps.share(np.array(float(step)))) for step in window)
    x, long = LEFT + first * ACROSS, max(2.0, (last - first) * ACROSS)
    box = f'x="{x:.1f}" y="{TOP}" width="{long:.1f}"'
    return f'<rect class="window" {box} height="{INNER}"/><rect class="window-bar" {box} height="3"/>'


def _line(name: str, series: Series, steps: Axis, values: Axis) -> Iterator[str]:
    kind = "validation" if name.endswith("/validation") else "train"
    sound = series.finite
    several = len(sound) > SEVERAL
    if len(sound):
        drawn = thinned(sound, MOST_POINTS)
        yield _path(f"{kind} raw" if several else kind, drawn.steps, drawn.values, steps, values)
    if several:
        smooth = curves.smoothed(curves.reduced(sound))
        yield _path(kind, smooth.steps, smooth.values, steps, values)
    broken = series.steps[~np.isfinite(series.values)]
    for step in broken[np.unique(np.linspace(0, len(broken) - 1, min(len(broken), 20)).astype(int))]:
        x = LEFT + ACROSS * float(steps.share(np.array(float(step))))
        yield f'<path class="broken" d="M{x - 3:.1f} {TOP + 5}l6 6m0 -6l-6 6"/>'


def _path(kind: str, at: Steps | Values, heights: Values, steps: Axis, values: Axis) -> str:
    x = LEFT + ACROSS * steps.share(at.astype(float))
    y = TOP + INNER * (1 - np.clip(values.share(heights), 0, 1))
    points = "L".join(f"{across:.1f} {down:.1f}" for across, down in zip(x, y, strict=True))
    return f'<path class="{kind}" d="M{points}"/>'


def _colour(value: float, colours: Axis) -> str:
    if not np.isfinite(value) or (colours.logarithmic and value <= 0):
        return "none"
    share = float(np.clip(colours.share(np.array(value)), 0, 1))
    (colour,) = sample_colorscale("Cividis", [share])
    return str(colour).replace(" ", "")


def _colour_bar(colours: Axis, x: float) -> Iterator[str]:
    """The colour scale from the top down, its ends written beside it."""
    for number in range(20):
        (colour,) = sample_colorscale("Cividis", [1 - number / 19])
        y, high = TOP + 14 + number * (INNER - 28) / 20, (INNER - 28) / 20 + 0.4
        yield f'<rect x="{x}" y="{y:.1f}" width="9" height="{high:.1f}" fill="{str(colour).replace(" ", "")}"/>'
    ends = [label for _, label in colours.ticks()] if colours.logarithmic else [shown(colours.low), shown(colours.high)]
    yield _text(x + 4, TOP + 9, ends[-1], "middle")
    yield _text(x + 4, TOP + INNER - 4, ends[0], "middle")
