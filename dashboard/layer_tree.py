"""Layers as rows that a person can read: grouped by module path, each group folded into one row or unfolded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

READABLE: Final = 24  # rows: as many as stand under one another without a small print
DEEPEST: Final = 24  # parts of a path: no model that a person wrote goes deeper
INDENT: Final = "\u2003"


@dataclass(frozen=True)
class Row:
    """One row: a layer, or a group by the path that its layers share (`group`, empty for a layer).

    `members` are the layers' places in the order of the forward pass.
    """

    label: str
    members: tuple[int, ...]
    group: str = ""
    unfolded: bool = False


def rows_of(names: Sequence[str], depth: int | None, opened: frozenset[str] = frozenset()) -> list[Row]:
    """The layers grouped by the first `depth` parts of their paths; groups in `opened` show what they hold.

    Without a depth, by the most parts that leave a readable number of rows.
    """
    depth = usual_depth(names) if depth is None else depth
    return list(_grouped(names, tuple(range(len(names))), depth, opened, 0))


def depths_of(names: Sequence[str]) -> int:
    """The parts of the longest path, as far as paths are followed: from this depth on, every layer has its own row."""
    return min(max((name.count(".") + 1 for name in names), default=1), DEEPEST)


def usual_depth(names: Sequence[str]) -> int:
    """The deepest level with a readable number of rows, 1 where even that has more."""
    return next((d for d in range(depths_of(names), 1, -1) if len({_path(n, d) for n in names}) <= READABLE), 1)


def _grouped(
    names: Sequence[str], places: tuple[int, ...], depth: int, opened: frozenset[str], level: int
) -> Iterator[Row]:
    groups: dict[str, list[int]] = {}
    for place in places:
        groups.setdefault(_path(names[place], depth), []).append(place)
    for path, members in groups.items():
        if len({names[place] for place in members}) == 1:  # one layer, or several that no path tells apart
            yield from (Row(INDENT * level + names[place], (place,)) for place in members)
            continue
        unfolded = path in opened
        mark = "▾" if unfolded else "▸"
        yield Row(f"{INDENT * level}{mark} {path} · {len(members)} layers", tuple(members), path, unfolded)
        if unfolded:
            yield from _grouped(names, tuple(members), depth + 1, opened, level + 1)


def _path(name: str, depth: int) -> str:
    return name if depth >= DEEPEST else ".".join(name.split(".", depth)[:depth])
