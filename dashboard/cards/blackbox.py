"""Around the first NaN: where it began, in which direction, and what each layer held then."""

from __future__ import annotations

from typing import Final

import numpy as np
from dash import html

from diagnose.dashboard import pieces
from diagnose.dashboard.blackbox import Break, break_of
from diagnose.diagnosis import Diagnosis
from diagnose.run import Run
from diagnose.signals import LAYER_NONFINITE, LAYER_NONFINITE_WEIGHTS, NONFINITE_INPUTS

MOST_LAYERS: Final = 12
NOT_RUN: Final = "–"
PLACES: Final = {
    "inputs": "in the model's inputs, before the first layer",
    "weights": "in the weights, before training began",
    "forward": "in the forward pass",
    "loss": "after the last layer, in loss or targets",
    "backward": "in the backward pass",
    "update": "in the optimizer's step",
    "rank": "in the forward pass of one rank",
}


def card(diagnosis: Diagnosis) -> html.Section | None:
    """The facts of the break, None for a run that stayed finite."""
    broke = break_of(diagnosis)
    if broke is None:
        return None
    facts = _facts(broke)
    parts = [html.P(broke.finding.summary, className="because"), pieces.facts(facts, "Where it began")]
    counts = _counts(diagnosis.run, broke.step)
    return pieces.card("Around the first NaN", html.Div([*parts, counts] if counts else parts))


def _facts(broke: Break) -> list[tuple[str, str]]:
    told = broke.finding.evidence
    began = PLACES.get(str(told.get("origin", "")), "the log does not tell")
    step = told.get("origin_step", broke.step)
    at = f"{step:,.0f}" if isinstance(step, int | float) else str(step)
    layers = ", ".join(broke.finding.layers[:MOST_LAYERS])
    return [
        ("First step without a number", f"{broke.step:,}"),
        ("It began", f"{began}, at step {at}"),
        ("First layer", layers or "none could be named"),
    ]


def _counts(run: Run, step: int) -> html.Details | None:
    """NaN and infinite values by layer, as the black box counted them when it looked."""
    rows = []
    outputs, weights = _at(run, LAYER_NONFINITE, step), _at(run, LAYER_NONFINITE_WEIGHTS, step)
    for place, name in enumerate(run.layer_names):
        in_output, in_weights = (_count(values, place) for values in (outputs, weights))
        if {in_output, in_weights} - {"0", NOT_RUN}:
            rows.append((name, f"{in_output} in its output, {in_weights} in its weights"))
    inputs = run.scalar(NONFINITE_INPUTS)
    if inputs is not None and (inputs.steps == step).any():
        rows.insert(0, ("Model's inputs", f"{inputs.values[inputs.steps == step][0]:,.0f}"))
    if not rows or (outputs is None and weights is None):
        return None
    shown, rest = rows[:MOST_LAYERS], len(rows) - MOST_LAYERS
    more = html.P(f"… and {rest:,} more layers.", className="quiet") if rest > 0 else None
    return html.Details(
        [html.Summary("NaN and infinite values by layer"), pieces.facts(shown, "NaN and infinite values"), more],
        className="snippets",
    )


def _at(run: Run, signal: str, step: int) -> np.ndarray[tuple[int], np.dtype[np.float32]] | None:
    series = run.per_layer(signal)
    if series is None or series.values.shape[1] != len(run.layer_names):
        return None
    rows = np.flatnonzero(series.steps == step)
    return series.values[rows[0]] if len(rows) else None


def _count(values: np.ndarray[tuple[int], np.dtype[np.float32]] | None, place: int) -> str:
    if values is None or not np.isfinite(values[place]):
        return NOT_RUN
    return f"{values[place]:,.0f}"
