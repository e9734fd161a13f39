"""The knowledge base: what the source documents say, row by row, and which part of the product each row lives in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

Kind = Literal["S", "C", "L", "T"]
KINDS: Final[Mapping[str, str]] = {
    "S": "a symptom, its cause and its remedy",
    "C": "a coupling of settings",
    "L": "a check on the set-up",
    "T": "a tool, or a way of working",
}
_ROW: Final = re.compile(r"\bK(\d\d)(?:\s*(?:–|-|to)\s*K(\d\d))?")


@dataclass(frozen=True)
class KnowledgeRow:
    """One claim of the source documents.

    `sources` are document and section; `lives_in` is `module:function` of code that no symptom, cause, remedy, rule
    or coupling stands for; `note` says where a document is to be read with care; `manual` names the page
    of the manual that tells it at length.
    """

    id: str
    kind: Kind
    claim: str
    sources: tuple[str, ...]
    lives_in: tuple[str, ...] = ()
    note: str = ""
    manual: str = ""


@cache
def known_rows() -> Mapping[str, KnowledgeRow]:
    """All rows by id, in the order of the documents' subjects."""
    return {name: _row(name, told) for name, told in _told()["rows"].items()}


@cache
def documents() -> Mapping[str, str]:
    """The titles of the source documents by their short names."""
    return dict(_told()["documents"])


def rows_in(text: str) -> tuple[str, ...]:
    """The ids of the rows that a text cites, each once: "K25, K26 (…)", "K01–K04"."""
    found: list[str] = []
    for first, last in _ROW.findall(text):
        found += [f"K{number:02d}" for number in range(int(first), int(last or first) + 1)]
    return tuple(dict.fromkeys(found))


def cited(sources: Iterable[str]) -> tuple[KnowledgeRow, ...]:
    """The known rows that these source strings cite, each once."""
    return tuple(dict.fromkeys(_cited(sources)))


def _cited(sources: Iterable[str]) -> Iterator[KnowledgeRow]:
    for source in sources:
        for name in rows_in(source):
            if name in known_rows():
                yield known_rows()[name]


def _row(name: str, told: Mapping[str, Any]) -> KnowledgeRow:
    entry: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}
    return KnowledgeRow(id=name, **entry)


def _told() -> dict[str, Any]:
    return tomllib.loads(files("diagnose").joinpath("knowledge.toml").read_text(encoding="utf-8"))
