"""The product's own sentences as Markdown: nothing in them is markup, and each id leads to its page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from posixpath import relpath
from typing import Final

from diagnose import explaining

PLACES: Final[Mapping[str, str]] = {
    "symptom": "symptoms/{id}.md",
    "set-up rule": "setup-rules.md#{id}",
    "cause": "causes.md#{id}",
    "remedy": "remedies.md#{id}",
    "coupling": "couplings.md#{id}",
    "claim": "claims.md#{id}",
}
_CODE: Final = re.compile(r"(`[^`]+`)")
_MARKUP: Final = re.compile(r"([\\*_\[\]|#])")


def prose(text: str, page: str) -> str:
    """The text for the page of this path. Ids in backticks are linked; bare ones where they cannot be a word."""
    return "".join(_code(part, page) if part.startswith("`") else _plain(part, page) for part in _CODE.split(text))


def link(name: str, page: str) -> str:
    """An id in code type that leads to its page, plain where it has none."""
    place = places().get(name)
    return f"[`{name}`]({_from(page, place)})" if place else f"`{name}`"


@cache
def places() -> Mapping[str, str]:
    """The place in the manual of everything that `diagnose explain` knows."""
    return {name: PLACES[kind].format(id=name) for kind, names in explaining.ids().items() for name in names}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; what is in the cells is Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: str, page: str) -> str:
    return link(text.strip("`"), page)


def _plain(text: str, page: str) -> str:
    """Escaped, with a link for each bare id: a claim's, one with an underscore, or one in brackets or before them."""
    done, end = "", 0
    for found in _bare().finditer(text):
        done += _escaped(text[end : found.start()]) + _bare_link(found[0], page)
        end = found.end()
    return done + _escaped(text[end:])


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", escape(text, quote=False))


def _bare_link(name: str, page: str) -> str:
    return f"[{name}]({_from(page, places()[name])})" if name.startswith("K") else link(name, page)


@cache
def _bare() -> re.Pattern[str]:
    names = sorted((name for name in places() if "_" in name or re.fullmatch(r"K\d\d", name)), key=len, reverse=True)
    words = [name for name in places() if name not in names]
    return re.compile(
        rf"(?<![\w/-])({'|'.join(names)})(?![\w-])|(?<=\()({'|'.join(words)})(?=\))|^({'|'.join(words)})(?= \()"
    )


def _from(page: str, place: str) -> str:
    path, _, anchor = place.partition("#")
    way = "" if path == page else relpath(path, page.rpartition("/")[0] or ".")
    return f"{way}#{anchor}" if anchor else way or path.rpartition("/")[2]
