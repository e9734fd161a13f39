"""A manual page for the terminal and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from diagnose.explaining import Page
from diagnose.knowledge import KnowledgeRow

WIDTH, NARROWEST = 100, 40  # columns
_BESIDE = 21  # columns of a heading beside its text, as in the symptoms' docstrings


def as_text(pages: Sequence[Page], width: int = WIDTH) -> str:
    """The pages, one below the other, in at most 100 columns."""
    columns = max(min(width, WIDTH), NARROWEST)
    return "\n\n".join("\n".join(_lines(page, columns)) for page in pages)


def index_as_text(pages: Sequence[Page], width: int = WIDTH) -> str:
    """One line for each page under its kind; what is too long for the line is cut."""
    columns = max(min(width, WIDTH), NARROWEST)
    kinds = dict.fromkeys(page.kind for page in pages)
    return "\n\n".join("\n".join(_index([page for page in pages if page.kind == kind], columns)) for kind in kinds)


def as_markdown(page: Page) -> str:
    """One page, its id as the anchor."""
    blocks = [f'<a id="{page.id}"></a>', f"## {page.title}", f"*{page.kind}* `{page.id}`", *page.paragraphs]
    blocks += [f"**{heading}.** {text}" for heading, text in page.sections]
    for title, entries in page.lists:
        blocks += [f"**{title}**", "\n".join(f"- {entry}" for entry in entries)]
    if rows := _others(page):
        blocks += ["**What it rests on**", "\n".join(f"- **{row.id}** {_told(row)}" for row in rows)]
    return "\n\n".join(blocks) + "\n"


def _index(pages: Sequence[Page], width: int) -> Iterator[str]:
    yield pages[0].kind
    longest = max(len(page.id) for page in pages)
    for page in pages:
        line = f"  {page.id:<{longest}}  {page.brief}"
        yield line if len(line) <= width else f"{line[: width - 1].rstrip()}…"


def _lines(page: Page, width: int) -> Iterator[str]:
    yield _filled(f"{page.title}  [{page.kind} {page.id}]", "", 2, width)
    yield from (_filled(paragraph, "", 0, width) for paragraph in page.paragraphs)
    if page.sections:
        yield ""
        yield from (_filled(f"{heading:<{_BESIDE}}{text}", "", _BESIDE, width) for heading, text in page.sections)
    for title, entries in page.lists:
        yield f"\n{title}"
        yield from (_filled(entry, "  · ", 4, width) for entry in entries)
    if rows := _others(page):
        yield "\nWhat it rests on"
        yield from (_filled(f"{row.id} {_told(row)}", "  ", 6, width) for row in rows)


def _others(page: Page) -> list[KnowledgeRow]:
    """The claims that a page rests on; that of a claim would say itself twice."""
    return [row for row in page.rows if row.id != page.id]


def _told(row: KnowledgeRow) -> str:
    note = f" {row.note}" if row.note else ""
    return f"{row.claim}{note} ({'; '.join(row.sources)})"


def _filled(text: str, lead: str, hanging: int, width: int) -> str:
    """Wrapped between words: ids such as batch_size-lr stay whole."""
    return textwrap.fill(
        text,
        width,
        initial_indent=lead,
        subsequent_indent=" " * hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )
