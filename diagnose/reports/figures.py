"""The curves and heat maps of a run, with its findings marked; shared by the HTML report and the dashboard.

Every line is drawn from a bounded number of points that keeps each share's lowest and highest value,
so that a run of a million steps draws fast and none of its spikes is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from diagnose import curves
from diagnose.diagnosis import Diagnosis
from diagnose.findings import Finding, Severity
from diagnose.reports.titles import title_of
from diagnose.run import Series, Values
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

# Okabe and Ito's palette, which colour-blind eyes tell apart; vermilion is kept for what is ill.
PALETTE: Final = {
    "train": "#0072B2",
    "validation": "#E69F00",
    "third": "#009E73",
    "fourth": "#CC79A7",
    "ill": "#D55E00",
    "caution": "#B58900",
    "quiet": "#8A8F98",
}
ON_DARK: Final = {PALETTE["train"]: "#56B4E9", PALETTE["ill"]: "#FF8F4D", PALETTE["caution"]: "#E3B83A"}
LINES: Final = ("train", "validation", "third", "fourth", "quiet")
SEVERITY_COLOURS: Final = {Severity.CRITICAL: "ill", Severity.WARNING: "caution", Severity.INFO: "quiet"}
SEVERITY_MARKS: Final = {Severity.CRITICAL: "✖", Severity.WARNING: "▲", Severity.INFO: "·"}
LANE: Final = 21  # pixels of a finding's bar and name above the panel
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"

MOST_POINTS = 2_000  # of a drawn line
MOST_COLUMNS = 400  # of a heat map
MOST_ROWS = 400
DECADE = 10.0
MARKED_DECADES = 5  # a colour bar has a mark at each of so many
LOG_DECADES = 1.5  # values that span more are drawn on a logarithmic axis
NOISY = 0.02  # of the curve's range: with more noise than this a smoothed line is drawn over the raw one
SEVERAL = 40  # values: fewer are drawn with markers


def loss_figure(diagnosis: Diagnosis) -> go.Figure:
    """Training and validation loss over steps, findings as shaded windows, non-finite values as crosses."""
    return signal_figure(diagnosis, (TRAIN_LOSS, VALIDATION_LOSS))


def signal_figure(diagnosis: Diagnosis, names: Sequence[str]) -> go.Figure:
    """Scalar signals in one panel; names that the run does not have are left out."""
    figure = go.Figure()
    logged = [(name, series) for name in names if (series := diagnosis.run.scalar(name)) is not None]
    for colour, (name, series) in zip(line_colours([name for name, _ in logged]), logged, strict=True):
        for trace in _traces(name, series, colour):
            figure.add_trace(trace)
    sound = [series.finite.values for _, series in logged if len(series.finite)]
    logarithmic = bool(sound) and spans_decades(np.concatenate(sound))
    axis = {"type": "log", "dtick": 1, "exponentformat": "power"} if logarithmic else {"rangemode": "tozero"}
    figure.update_layout(
        xaxis={"title": {"text": "step"}, "rangemode": "nonnegative"},
        yaxis=axis,
        hovermode="x unified",
        showlegend=True,
        uirevision=diagnosis.run.path,
    )
    mark_windows(figure, diagnosis)
    return figure


def layer_heatmap(diagnosis: Diagnosis, signal: str) -> go.Figure:
    """A per-layer signal over sampled steps: the first layer on top.

    Colours go by powers of ten where positive values span more than a decade, by value elsewhere, and
    both ways from 0 where some are negative. Raises `KeyError` where the run does not have the signal.
    """
    run = diagnosis.run
    series = run.layer_signals[signal]
    columns = np.unique(np.linspace(0, len(series) - 1, min(len(series), MOST_COLUMNS)).astype(int))
    rows = np.unique(np.linspace(0, series.values.shape[1] - 1, min(series.values.shape[1], MOST_ROWS)).astype(int))
    values = series.values[columns][:, rows].T.astype(np.float64)
    names = _layer_labels(diagnosis, series.values.shape[1])
    figure = go.Figure(
        go.Heatmap(
            x=series.steps[columns],
            y=[names[row] for row in rows],
            text=[[f"{value:.3g}" for value in line] for line in values],
            hovertemplate="layer %{y}<br>step %{x}<br>%{text}<extra></extra>",
            hoverongaps=True,
            **colours_of(values),
        )
    )
    figure.update_layout(
        margin={"t": 12},
        xaxis={"title": {"text": "step"}},
        yaxis={"autorange": "reversed", "type": "category", "title": {"text": ""}, "automargin": True},
        uirevision=run.path,
    )
    return figure


def colours_of(values: Values) -> dict[str, Any]:
    """The heat map's z values and colour scale; both scales are safe for colour-blind eyes."""
    bar = {"thickness": 12, "outlinewidth": 0, "nticks": 6}
    sound = values[np.isfinite(values)]
    if len(sound) and sound.min() < 0:
        return {"z": values, "colorscale": "PuOr", "zmid": 0, "colorbar": bar}
    if len(sound) and sound.min() == sound.max():  # Plotly would show a range around it, shares below 0 among them
        return {"z": values, "colorscale": "Cividis", "colorbar": bar, "zmin": 0, "zmax": float(sound.max()) or 1}
    positive = sound[sound > 0]
    if not len(positive) or positive.max() <= DECADE * positive.min():
        return {"z": values, "colorscale": "Cividis", "colorbar": bar}
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.where(values > 0, np.log10(values), np.nan)
    few = np.ptp(powers[np.isfinite(powers)]) <= MARKED_DECADES
    powers_bar = {**bar, **({"dtick": 1} if few else {}), "tickprefix": "10<sup>", "ticksuffix": "</sup>"}
    return {"z": np.round(powers, 3), "colorscale": "Cividis", "colorbar": powers_bar}


def themed(figure: go.Figure, dark: bool) -> go.Figure:  # noqa: FBT001  the two themes there are
    """The figure in light or dark, without a background of its own."""
    ink, grid = ("#D7DAE0", "#2F343D") if dark else ("#2B2F36", "#E6E8EB")
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 12, "color": ink},
        margin={"l": 56, "r": 16, "b": 76 if any(trace.type == "scatter" for trace in figure.data) else 44},
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "title": {"text": ""}},
        hoverlabel={"bgcolor": "#1F232A" if dark else "#FFFFFF", "font": {"family": FONT, "color": ink}},
    )
    lines = {"gridcolor": grid, "zeroline": False, "linecolor": grid, "ticks": "outside", "tickcolor": grid}
    figure.update_xaxes(**lines)
    figure.update_yaxes(**lines)
    if dark:
        _brighten(figure)
    return figure


def _brighten(figure: go.Figure) -> None:
    """Replace the palette's dark tones by those that stand out on a dark page."""
    coloured = [(trace.line, "color") for trace in figure.data if trace.type == "scatter"]
    coloured += [(trace.marker, "color") for trace in figure.data if trace.type == "scatter"]
    coloured += [(shape, "fillcolor") for shape in figure.layout.shapes]
    coloured += [(shape.line, "color") for shape in figure.layout.shapes]
    coloured += [(note.font, "color") for note in figure.layout.annotations]
    for part, name in coloured:
        part[name] = ON_DARK.get(part[name], part[name])


def _traces(name: str, series: Series, colour: str) -> Iterator[go.Scatter]:
    label = escape(name)
    drawn = thinned(series.finite)
    smooth = _smoothed_line(series)
    yield go.Scatter(
        x=drawn.steps,
        y=drawn.values,
        name=label,
        mode="lines+markers" if len(drawn) < SEVERAL else "lines",
        line={"color": colour, "width": 1 if smooth else 2},
        marker={"size": 5},
        opacity=0.3 if smooth else 1,
        showlegend=smooth is None,
        hoverinfo="skip" if smooth else None,
        hovertemplate=None if smooth else "%{y:.3g}",
    )
    if smooth is not None:
        yield go.Scatter(
            x=smooth.steps,
            y=smooth.values,
            name=label,
            mode="lines",
            line={"color": colour, "width": 2},
            hovertemplate="%{y:.3g}",
        )
    broken = series.steps[~np.isfinite(series.values)]
    if len(broken):
        yield _crosses(broken, series.finite.values, label)


def _crosses(steps: Any, values: Values, label: str) -> go.Scatter:
    """A line with NaN has only a hole: crosses at the top say where it is."""
    shown = steps[np.unique(np.linspace(0, len(steps) - 1, min(len(steps), SEVERAL)).astype(int))]
    top = float(values.max()) if len(values) else 1.0
    return go.Scatter(
        x=shown,
        y=np.full(len(shown), top),
        name=f"{label} is NaN or infinite",
        mode="markers",
        marker={"symbol": "x", "size": 8, "color": PALETTE["ill"]},
        hovertemplate="not a number<extra></extra>",
    )


def marked_findings(diagnosis: Diagnosis) -> list[Finding]:
    """The findings that are shown on the curves, in the order of their lanes: the worst stands highest."""
    return [f for f in reversed(diagnosis.findings) if f.kind == "symptom" and f.severity is not Severity.INFO]


def mark_windows(figure: go.Figure, diagnosis: Diagnosis) -> None:
    """Shade each symptom's window, with a bar and its name above the panel; one lane below the other."""
    marked = marked_findings(diagnosis)
    for lane, finding in enumerate(marked):
        _mark_window(figure, finding, lane)
    figure.update_layout(margin={"t": 12 + LANE * len(marked)})


def _mark_window(figure: go.Figure, finding: Finding, lane: int) -> None:
    colour = PALETTE[SEVERITY_COLOURS[finding.severity]]
    first, last = finding.window[0], max(finding.window[1], finding.window[0] + 1)
    across = {"type": "rect", "x0": first, "x1": last, "yref": "paper", "line": {"width": 0}, "fillcolor": colour}
    above = {"ysizemode": "pixel", "yanchor": 1}  # heights in pixels over the panel's upper edge
    bottom = 3 + LANE * lane
    figure.add_shape(**across, y0=0, y1=1, opacity=0.06, layer="below")
    figure.add_shape(**across, **above, y0=bottom, y1=bottom + 3)
    figure.add_shape(
        type="line", x0=first, x1=first, y0=0, y1=1, yref="paper", line={"color": colour, "width": 1, "dash": "dot"}
    )
    figure.add_annotation(
        x=first,
        y=1,
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        yshift=bottom + 3,
        showarrow=False,
        text=f"{SEVERITY_MARKS[finding.severity]} {escape(title_of(finding))}",
        font={"color": colour, "size": 12},
    )


def thinned(series: Series, most: int = MOST_POINTS) -> Series:
    """At most `most` points: the lowest and the highest of each share, in the order of their steps."""
    if len(series) <= most:
        return series
    share = -(-len(series) // (most // 2))
    whole = len(series) // share * share
    blocks = series.values[:whole].reshape(-1, share)
    starts = np.arange(len(blocks)) * share
    kept = [starts + blocks.argmin(axis=1), starts + blocks.argmax(axis=1), [0, len(series) - 1]]
    if whole < len(series):  # the rest is a shorter share of its own
        rest = series.values[whole:]
        kept.append([whole + rest.argmin(), whole + rest.argmax()])
    order = np.unique(np.concatenate(kept).astype(int))
    return Series(series.steps[order], series.values[order], series.wall_times[order])


def _smoothed_line(series: Series) -> curves.Curve | None:
    """A running median where the curve is noisy enough to need one, else None."""
    sound = series.finite
    if len(sound) < 2 * SEVERAL:
        return None
    spread = float(np.ptp(np.quantile(sound.values, [0.02, 0.98])))
    noisy = spread > 0 and curves.noise(sound.values) > NOISY * spread
    return curves.smoothed(curves.reduced(sound)) if noisy else None


def spans_decades(values: Values) -> bool:
    """Whether a logarithmic axis would show more of these values."""
    return bool(values.min() > 0 and np.log10(values.max()) - np.log10(values.min()) > LOG_DECADES)


def line_colours(names: Sequence[str]) -> list[str]:
    """Training and validation have their own colours in every panel, other signals take turns."""
    split = {"train": PALETTE["train"], "validation": PALETTE["validation"]}
    return [
        split.get(name.rpartition("/")[2], PALETTE[LINES[number % len(LINES)]]) for number, name in enumerate(names)
    ]


def _layer_labels(diagnosis: Diagnosis, width: int) -> list[str]:
    layers = diagnosis.run.setup.layers
    if len(layers) != width:
        return [f"layer {number}" for number in range(width)]
    return [escape(f"{layer.name} · {layer.type}") for layer in layers]
