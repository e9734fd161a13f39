"""What differs between runs, as parts of the compare page: each against one of them, and their settings in a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dash import html

from diagnose.comparing.comparison import Comparison, compared
from diagnose.comparing.settings import INCIDENTAL, same, told
from diagnose.dashboard import addresses
from diagnose.dashboard.health import health
from diagnose.dashboard.pieces import badge, breakable, scrolls
from diagnose.dashboard.store import Entry
from diagnose.diagnosis import Setting
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS
from diagnose.reports.numbers import percent, shown

FORMATS: Final = {"md": "Markdown", "json": "JSON"}


def against(entries: Sequence[Entry], reference: str) -> html.Div | html.P | None:
    """Every other run held against the reference: which is worse, and what explains it."""
    base = next((entry for entry in entries if entry.name == reference and entry.diagnosis), None)
    others = [entry for entry in entries if entry.name != reference and entry.diagnosis]
    if base is None:
        told = f"{reference} cannot be read, or is gone: choose another run to hold the others against."
        return html.P(told, className="quiet")
    if not others:
        return None
    return html.Div([_pair(base, other, alone=len(others) == 1) for other in others], className="pairs")


def headline(comparison: Comparison, first: str, second: str) -> str:
    """One sentence: which run is worse, and what explains it best."""
    if comparison.worse is None:
        return f"Neither {first} nor {second} is worse beyond chance."
    worse, better = (first, second) if comparison.worse == "a" else (second, first)
    found = comparison.only_in_a if comparison.worse == "a" else comparison.only_in_b
    named = f" ({', '.join(name.replace('_', ' ') for name in found)})" if found else ""
    why = f" What explains it best: {comparison.explanations[0].setting}." if comparison.explanations else ""
    return f"{worse} is worse than {better}{named}.{why}"


def _pair(base: Entry, other: Entry, *, alone: bool) -> html.Details:
    assert base.diagnosis is not None and other.diagnosis is not None
    comparison = compared(base.diagnosis, other.diagnosis)
    reasons = [
        html.Li(
            [html.Strong(f"{each.setting} "), html.Span(percent(each.weight), className="quiet"), f" {each.because}"]
        )
        for each in comparison.explanations
    ]
    files = [
        html.A(word, href=addresses.comparison_address(base.name, other.name, kind)) for kind, word in FORMATS.items()
    ]
    parts = [
        html.Ul(reasons) if reasons else None,
        *(html.P(note, className="quiet") for note in comparison.notes),
        scrolls(_outcomes(comparison, base.name, other.name), f"Outcomes of {base.name} and {other.name}"),
        html.P(["Comparison as a file:", *files], className="reports"),
    ]
    summary = html.Summary([badge(health(other)), html.Span(headline(comparison, base.name, other.name))])
    return html.Details([summary, *parts], open=alone, className="pair-told")


def _outcomes(comparison: Comparison, first: str, second: str) -> html.Table:
    names = {"a": first, "b": second, None: "–"}
    rows = [
        html.Tr(
            [
                html.Th(breakable(one.name), scope="row"),
                html.Td(shown(one.a)),
                html.Td(shown(one.b)),
                html.Td(names[one.better]),
            ]
        )
        for one in comparison.outcomes
    ]
    head = html.Tr([html.Td(), *(html.Th(word, scope="col") for word in (first, second, "better"))])
    return html.Table([html.Caption("Outcomes"), html.Thead(head), html.Tbody(rows)], className="facts")


def settings(entries: Sequence[Entry], reference: str, *, only_differences: bool) -> html.Div | html.P:
    """The runs' settings side by side, hyperparameters first; what differs from the reference stands out."""
    read = [(place, entry, told(entry.diagnosis.run)) for place, entry in enumerate(entries) if entry.diagnosis]
    every = [each for _, _, each in read]
    base = next((each for _, entry, each in read if entry.name == reference), every[0] if every else {})
    names = list(dict.fromkeys(name for each in every for name in each))
    if only_differences:
        names = [name for name in names if _differ(every, name)]
    names.sort(key=lambda name: (name in INCIDENTAL, name not in HYPERPARAMETERS))
    if not names:
        return html.P("The logs tell no setting in which these runs differ.", className="quiet")
    head = [html.Td(), *(_column(place, entry, reference) for place, entry, _ in read)]
    rows = [html.Tr([_name(name), *(_value(each.get(name), base.get(name)) for each in every)]) for name in names]
    caption = "Settings that differ" if only_differences else "Settings"
    table = html.Table([html.Caption(caption), html.Thead(html.Tr(head)), html.Tbody(rows)], className="facts")
    return scrolls(table, caption)


def _column(place: int, entry: Entry, reference: str) -> html.Th:
    shown_name: list[Any] = [f"{place + 1} ", html.Span(entry.name, className="column-name", title=entry.name)]
    return html.Th(shown_name, scope="col", className="reference" if entry.name == reference else "")


def _value(value: Setting, base: Setting) -> html.Td:
    return html.Td(shown(value), className="" if same(value, base) else "differs")


def _differ(every: Sequence[dict[str, Setting]], name: str) -> bool:
    first, *others = [each.get(name) for each in every]
    return any(not same(first, other) for other in others)


def _name(name: str) -> html.Th:
    unit = HYPERPARAMETERS[name].unit if name in HYPERPARAMETERS else ""
    return html.Th(
        [*breakable(name), html.Span(f" {unit}", className="quiet") if unit not in name else None], scope="row"
    )
