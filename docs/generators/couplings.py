"""The page of couplings: the graph, and every edge with its formula."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from math import atan2, cos, hypot, pi, sin
from typing import Final

from diagnose.prescriptions.couplings import GRAPH
from generators.prose import prose, table

PAGE: Final = "couplings.md"
WIDTH, HEIGHT, ACROSS, DOWN = 760, 620, 240, 275  # pixels: the picture, and the ellipse's half axes
NEAR = 9  # pixels between an arrow's end and a name's dot
INTRO: Final = (
    "When one setting changes, others must follow. A prescription carries each change through this graph, and "
    "[`diagnose what-if`](command-line.md#what-if) asks it without any run. What nobody told is never given a number: "
    "it is named, with the formula that it would follow."
)
PICTURE: Final = (
    "An arrow leads from what changes to what follows; a larger dot pulls more, a grey one pulls nothing. "
    "Point at a name to see its own arrows."
)


def pages() -> Iterator[tuple[str, str]]:
    """The one page."""
    yield PAGE, "\n\n".join(("# Couplings", INTRO, _graph(), *_by_source())) + "\n"


def _by_source() -> Iterator[str]:
    """A table for each setting that pulls others."""
    for source in dict.fromkeys(each.source for each in GRAPH):
        yield f"## `{source}` pulls {{ #{source} }}"
        rows = [
            (
                f'<a id="{each.id}"></a>`{each.target}`',
                prose(each.formula, PAGE),
                prose(each.because, PAGE),
                prose("; ".join(each.sources), PAGE),
            )
            for each in GRAPH
            if each.source == source
        ]
        yield table(("what follows", "formula", "because", "sources"), rows)


def _graph() -> str:
    """Settings on an ellipse, an arrow for each edge; the style sheet brings out a setting's own when pointed at."""
    names = _order()
    places = {name: _place(number, len(names)) for number, name in enumerate(names)}
    arrows = "".join(_arrow(each.source, each.target, places) for each in GRAPH)
    marks = "".join(_name(name, places[name]) for name in names)
    head = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs>'
    )
    rules = "".join(
        f'svg.couplings:has(g[data-name="{name}"]:hover) path[data-from="{name}"]{{opacity:1;stroke-width:2.4}}'
        for name in names
    )
    label = "The coupling graph: settings, with an arrow from each to those that must follow it"
    about = f'role="img" aria-label="{label}" data-search-exclude'
    drawn = f'<svg class="couplings" viewBox="0 0 {WIDTH} {HEIGHT}" {about}>'
    return (
        f'<figure class="graph">{drawn}<style>{rules}</style>{head}{arrows}{marks}</svg>'
        f"<figcaption>{PICTURE}</figcaption></figure>"
    )


def _order() -> list[str]:
    """Along the graph, so that what is coupled lies side by side: batch, rate, schedule, regularisation, shape."""
    order: list[str] = []
    for each in GRAPH:
        order += [name for name in (each.source, each.target) if name not in order]
    return order


def _place(number: int, count: int) -> tuple[float, float]:
    angle = 2 * pi * number / count - pi / 2
    return WIDTH / 2 + ACROSS * cos(angle), HEIGHT / 2 + DOWN * sin(angle)


def _arrow(source: str, target: str, places: dict[str, tuple[float, float]]) -> str:
    """A curve bent towards the middle, so that arrows there and back are two."""
    (x0, y0), (x1, y1) = places[source], places[target]
    long = hypot(x1 - x0, y1 - y0)
    bend = 0.12 * long
    middle_x, middle_y = (x0 + x1) / 2 - bend * (y1 - y0) / long, (y0 + y1) / 2 + bend * (x1 - x0) / long
    toward = atan2(y1 - middle_y, x1 - middle_x)
    end_x, end_y = x1 - NEAR * cos(toward), y1 - NEAR * sin(toward)
    path = f"M{x0:.0f} {y0:.0f}Q{middle_x:.0f} {middle_y:.0f} {end_x:.0f} {end_y:.0f}"
    return f'<path class="edge" data-from="{source}" d="{path}" marker-end="url(#tip)"/>'


def _name(name: str, place: tuple[float, float]) -> str:
    x, y = place
    pulls = sum(each.source == name for each in GRAPH)
    away = x - WIDTH / 2
    anchor, shift = ("start", 12) if away > 20 else ("end", -12) if away < -20 else ("middle", 0)
    lift = 4 if shift else (-12 if y < HEIGHT / 2 else 22)
    kind = "pulls" if pulls else "pulled"
    words = f'<text x="{x + shift:.0f}" y="{y + lift:.0f}" text-anchor="{anchor}">{escape(name)}</text>'
    return (
        f'<g data-name="{name}" class="{kind}"><circle cx="{x:.0f}" cy="{y:.0f}" r="{4 + min(pulls, 6) / 2:.1f}"/>'
        f"{words}</g>"
    )
