"""What a person has chosen to see of a run: held in the page's address, so that a link shows the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Window = tuple[int, int]
Axis = Literal["auto", "linear", "log"]

AXES: Final[tuple[Axis, ...]] = get_args(Axis)
SMOOTH: Final = ("auto", "off", "11", "51", "201", "1001")  # logged values of the running median
LISTS: Final = ("open", "signals")  # each of them as often in the address as there are names
USUAL_WIDTH, LEAST_WIDTH, MOST_WIDTH = 800, 200, 4000  # pixels of a plot
NARROW: Final = 480  # pixels: a telephone's plot
DEEPEST: Final = 99
MOST_OPEN: Final = 50  # unfolded groups: an address has its limits
_WINDOW: Final = re.compile(r"(\d{1,15})-(\d{1,15})")


@dataclass(frozen=True)
class View:
    """The steps shown (None: all), how axes and smoothing are set, and how far the layers' tree is unfolded.

    `depth` is the number of path parts that layers are grouped by, None for as many as a person can read.
    """

    window: Window | None = None
    axis: Axis = "auto"
    smooth: str = "auto"
    depth: int | None = None
    opened: frozenset[str] = frozenset()
    signals: tuple[str, ...] = ()
    width: int = USUAL_WIDTH


def view_of(told: Mapping[str, object]) -> View:
    """The view that an address's query or the page itself tells; what makes no sense is left at its default."""
    words = {name: str(value) for name, value in told.items() if not isinstance(value, list)}
    axis, smooth = words.get("axis", ""), words.get("smooth", "")
    depth = _whole(words.get("depth"))
    return View(
        window=_window(words.get("window", "")),
        axis=axis if axis in AXES else "auto",
        smooth=smooth if smooth in SMOOTH else "auto",
        depth=min(depth, DEEPEST) if depth else None,
        opened=frozenset(_names(told.get("open"))[:MOST_OPEN]),
        signals=_names(told.get("signals")),
        width=min(max(_whole(words.get("width")) or USUAL_WIDTH, LEAST_WIDTH), MOST_WIDTH),
    )


def _names(told: object) -> tuple[str, ...]:
    """Names are listed, never joined: one may hold whatever a separator is."""
    return tuple(dict.fromkeys(str(name) for name in told if name)) if isinstance(told, list) else ()


def _window(told: str) -> Window | None:
    found = _WINDOW.fullmatch(told)
    if found is None:
        return None
    first, last = int(found[1]), int(found[2])
    return (first, last) if first < last else None


def _whole(told: str | None) -> int | None:
    return int(told) if told is not None and re.fullmatch(r"[0-9]{1,6}", told) else None
