"""A manual page for the terminal and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from diagnose.explaining import Page

WIDTH = 100  # columns


def as_text(pages: Sequence[Page]) -> str:
    """The pages, one below the other, in at most 100 columns."""
    return "\n\n".join("\n".join(_lines(page)) for page in pages)


def index_as_text(ids: Mapping[str, Sequence[str]]) -> str:
    """Every id under its kind."""
    groups = (f"{kind}\n{_wrapped(', '.join(names), '  ')}" for kind, names in ids.items())
    return "\n".join(groups)


def as_markdown(page: Page) -> str:
    """One page, its id as the anchor."""
    lines = [f"## {page.title} {{#{page.id}}}\n", f"*{page.kind}* `{page.id}`\n", _text(page.text)]
    for title, entries in page.lists:
        lines += [f"\n**{title}**\n", *(f"- {entry}" for entry in entries)]
    if page.rows:
        lines += ["\n**Sources**\n", *(f"- {row.id}: {row.claim} *({'; '.join(row.sources)})*" for row in page.rows)]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """Columns of a manual page stay columns."""
    return f"```text\n{text}\n```" if "   " in text else text


def _lines(page: Page) -> Iterator[str]:
    yield f"{page.title}  [{page.kind} {page.id}]"
    yield page.text if "   " in page.text else "\n".join(_wrapped(line, "") for line in page.text.splitlines())
    for title, entries in page.lists:
        yield f"\n{title}"
        yield from (_wrapped(entry, "  · ") for entry in entries)
    if page.rows:
        yield "\nWhat it rests on"
        yield from (_wrapped(f"{row.id} {row.claim} ({'; '.join(row.sources)})", "  ") for row in page.rows)


def _wrapped(text: str, lead: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=lead, subsequent_indent=" " * max(len(lead), 2))
