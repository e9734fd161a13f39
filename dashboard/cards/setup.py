"""The set-up as the log tells it, and what the log does not hold; folded away until asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dash import html

from diagnose.dashboard import pieces
from diagnose.diagnosis import Diagnosis
from diagnose.run import Layer, Run

LONGEST: Final = 300  # characters of one value
MOST_LAYERS: Final = 500  # rows: more would make the page slow, and nobody reads them here


def card(diagnosis: Diagnosis) -> html.Section:
    """Config, optimizer, schedule, environment, model and layers, one fold each."""
    run, setup = diagnosis.run, diagnosis.run.setup
    parts = [
        _fold("Config", setup.config),
        *(_fold(f"Optimizer, group {place}", group) for place, group in enumerate(_groups(run))),
        _fold("Scheduler", setup.scheduler),
        _fold("Environment", setup.environment),
        _fold("Model", {**setup.model, **{f"modules: {name}": count for name, count in setup.modules.items()}}),
        _layers(setup.layers),
        _fold("Signals not logged", {name: f"would tell {told}" for name, told in diagnosis.missing.items()}),
        _fold("Names taken for our signals", {ours: theirs for ours, theirs in run.names.items() if ours != theirs}),
        _notes(run),
    ]
    shown = [part for part in parts if part is not None]
    return pieces.card("Set-up and log", html.Div(shown, className="folds"))


def _groups(run: Run) -> list[Mapping[str, Any]]:
    groups = run.setup.optimizer.get("groups")
    told = [group for group in groups if isinstance(group, Mapping)] if isinstance(groups, list) else []
    kind = {"type": run.setup.optimizer["type"]} if "type" in run.setup.optimizer else {}
    return [{**kind, **group} for group in told] or ([kind] if kind else [])


def _fold(title: str, values: Mapping[str, Any]) -> html.Details | None:
    if not values:
        return None
    rows = [(str(name), shown(value)) for name, value in values.items()]
    return html.Details(
        [html.Summary([title, html.Span(str(len(rows)), className="quiet")]), pieces.facts(rows, title)]
    )


def _layers(layers: tuple[Layer, ...]) -> html.Details | None:
    if not layers:
        return None
    head = html.Tr([html.Th(name, scope="col") for name in ("Layer", "Type", "Activation", "Parameters", "Trainable")])
    body = [
        html.Tr(
            [
                html.Th(layer.name, scope="row"),
                html.Td(layer.type),
                html.Td(layer.activation or "–"),
                html.Td(f"{layer.parameters:,}", className="number"),
                html.Td("yes" if layer.trainable else "no"),
            ]
        )
        for layer in layers[:MOST_LAYERS]
    ]
    table = html.Table([html.Thead(head), html.Tbody(body)], className="facts")
    rest = len(layers) - len(body)
    more = html.P(f"… and {rest:,} more layers.", className="quiet") if rest else None
    summary = html.Summary(["Layers", html.Span(f"{len(layers):,}", className="quiet")])
    return html.Details([summary, html.Div(table, className="scrolls"), more])


def _notes(run: Run) -> html.Details | None:
    if not run.notes:
        return None
    summary = html.Summary(["Notes on reading the log", html.Span(str(len(run.notes)), className="quiet")])
    return html.Details([summary, html.Ul([html.Li(note) for note in run.notes])])


def shown(value: Any) -> str:
    """A value of the set-up as one short text."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
