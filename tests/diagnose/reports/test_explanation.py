"""A manual page as text and as Markdown."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from diagnose.explaining import explain, ids, pages
from diagnose.reports.explanation import as_markdown, as_text, index_as_text

PAGES = [page for kind in ids() for page in pages(kind)]


@pytest.mark.parametrize("width", [60, 100])
def test_text_stays_within_the_terminal(width):
    for text in (as_text(PAGES, width), index_as_text(PAGES, width)):
        assert max(map(len, text.splitlines())) <= width


def said_by(page):
    """Everything that stands on a page in words of its own."""
    yield from (*page.paragraphs, *(text for _, text in page.sections))
    yield from (entry for _, entries in page.lists for entry in entries)


def test_text_says_all_that_the_page_holds():
    for page in PAGES:
        text = " ".join(as_text([page]).split())
        assert all(" ".join(each.split()) in text for each in said_by(page)), page.id
        assert all(row.id in text and row.claim in text and row.sources[0] in text for row in page.rows), page.id


def test_markdown_says_the_same_under_its_id_as_the_anchor():
    for page in PAGES:
        text = as_markdown(page)
        assert text.startswith(f'<a id="{page.id}"></a>\n\n## {page.title}\n')
        assert all(each in text for each in said_by(page)), page.id
        assert all(row.claim in text for row in page.rows), page.id


def test_what_is_to_be_read_with_care_is_said_wherever_the_claim_is():
    assert "interdependencies §2 prints" in as_text(explain("use_adamw")).replace("\n      ", " ")


def test_a_terminal_without_greek_gets_a_page_too():
    told = subprocess.run(
        [sys.executable, "-m", "diagnose.cli", "explain", "K20"],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "50"}, capture_output=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert b"2/?_max" in told.stdout and max(map(len, told.stdout.splitlines())) <= 50
