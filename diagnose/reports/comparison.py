"""A comparison for the terminal, as Markdown and as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from diagnose.comparing.comparison import Comparison
from diagnose.comparing.settings import Difference
from diagnose.logs.printable import printable
from diagnose.reports.headline import verdict
from diagnose.reports.json import strict
from diagnose.reports.markdown import escaped
from diagnose.reports.numbers import percent, shown

SCHEMA_VERSION = 1
SHOWN_SETTINGS = 20


def headline(comparison: Comparison) -> str:
    """One sentence: which run is worse, and what explains it best."""
    if comparison.worse is None:
        return "Neither run is worse beyond chance."
    sides = {"a": ("first", comparison.only_in_a), "b": ("second", comparison.only_in_b)}
    side, found = sides[comparison.worse]
    told = f" ({', '.join(name.replace('_', ' ') for name in found)})" if found else ""
    why = f" What explains it best: {comparison.explanations[0].setting}." if comparison.explanations else ""
    return f"The {side} run is worse{told}.{why}"


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print it; what comes from the logs is printed as it is, never as markup."""
    console.print(Text(headline(comparison), style="bold"))
    for letter, diagnosis in (("a", comparison.a), ("b", comparison.b)):
        console.print(Text(f"  {letter}  {printable(diagnosis.run.path)}  ({verdict(diagnosis)})"))
    console.print()
    console.print(_table("Outcome", [(o.name, shown(o.a), shown(o.b), _better(o.better)) for o in comparison.outcomes]))
    settings = _settings(comparison)
    if settings:
        console.print(_table("Set-up", [(_named(d), shown(d.a), shown(d.b), "") for d in settings[:SHOWN_SETTINGS]]))
    for lead, lines in (("Why", list(_reasons(comparison))), ("Notes", list(comparison.notes))):
        if lines:
            console.print(Text(lead, style="bold"))
            for line in lines:
                console.print(Text(f"  · {printable(line)}"), highlight=False)
            console.print()


def as_markdown(comparison: Comparison) -> str:
    """The whole comparison; whatever comes from the logs is escaped."""
    return "\n".join(_markdown(comparison)) + "\n"


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """Plain data: NaN and infinity become None."""
    told: dict[str, Any] = strict({
        "schema": SCHEMA_VERSION,
        "a": comparison.a.run.path,
        "b": comparison.b.run.path,
        "worse": comparison.worse,
        "settings": [{"setting": d.setting, "a": d.a, "b": d.b, "unit": d.unit} for d in comparison.settings],
        "outcomes": [
            {"name": o.name, "a": o.a, "b": o.b, "noise": o.noise, "better": o.better} for o in comparison.outcomes
        ],
        "only_in_a": list(comparison.only_in_a),
        "only_in_b": list(comparison.only_in_b),
        "explanations": [
            {"setting": e.setting, "weight": e.weight, "because": e.because, "sources": list(e.sources)}
            for e in comparison.explanations
        ],
        "notes": list(comparison.notes),
    })  # fmt: skip
    return told


def _markdown(comparison: Comparison) -> Iterator[str]:
    yield f"# {escaped(headline(comparison))}\n"
    yield f"- a: {escaped(comparison.a.run.path)} ({verdict(comparison.a)})"
    yield f"- b: {escaped(comparison.b.run.path)} ({verdict(comparison.b)})"
    yield "\n## Outcome\n\n| | a | b | better |\n|---|---|---|---|"
    for one in comparison.outcomes:
        yield f"| {one.name} | {shown(one.a)} | {shown(one.b)} | {_better(one.better)} |"
    settings = _settings(comparison)
    if settings:
        yield "\n## Set-up\n\n| | a | b |\n|---|---|---|"
        for each in settings:
            yield f"| {escaped(_named(each))} | {escaped(shown(each.a))} | {escaped(shown(each.b))} |"
    for title, lines in (("Why", list(_reasons(comparison))), ("Notes", list(comparison.notes))):
        if lines:
            yield f"\n## {title}\n"
            yield from (f"- {escaped(line)}" for line in lines)


def _settings(comparison: Comparison) -> list[Difference]:
    return [each for each in comparison.settings if each.told_by_both]


def _reasons(comparison: Comparison) -> Iterator[str]:
    for each in comparison.explanations:
        sources = f" [{'; '.join(each.sources)}]" if each.sources else ""
        yield f"{each.setting} ({percent(each.weight)}): {each.because}{sources}"


def _named(difference: Difference) -> str:
    return f"{difference.setting} ({difference.unit})" if difference.unit else difference.setting


def _better(side: str | None) -> str:
    return side or "–"


def _table(title: str, rows: list[tuple[str, str, str, str]]) -> Table:
    table = Table("", "a", "b", "better" if title == "Outcome" else "", title=title, title_justify="left", box=None)
    for name, a, b, better in rows:
        table.add_row(Text(printable(name)), Text(printable(a)), Text(printable(b)), better)
    return table
