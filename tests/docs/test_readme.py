"""What README claims: counts that the code has, figures that were measured, commands and files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from diagnose import explaining
from diagnose.cli import command_line

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
RESULTS = (ROOT / "benchmarks" / "RESULTS.md").read_text()
NUMBER = re.compile(r"(?<![\w.,])\d[\d,.]*\d|(?<![\w.,])\d(?![\w.,])")
MOST_LINES = 160


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_first_screen_shows_it_says_it_and_installs_it():
    first = README.partition("\n## ")[0]
    assert [mark in first for mark in ("![An ill run", "pip install", "diagnose report", "diagnose.attach(")] == [
        True
    ] * 4
    assert README.count("\n") < MOST_LINES


def test_it_counts_what_there_is():
    counts = {kind: len(names) for kind, names in explaining.ids().items()}
    words = " ".join(README.split())
    assert f"finds {counts['symptom']} symptoms and {counts['set-up rule']} faults of the set-up" in words
    assert f"weighs {counts['cause']} causes" in words and f"a graph of {counts['coupling']} couplings" in words


def test_every_measured_figure_stands_in_the_results():
    rows = [line.split(" | ") for line in section("Measured").splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 8
    for row in rows:
        figures = NUMBER.findall(row[1])
        assert figures, row
        for figure in figures:
            assert re.search(rf"(?<![\w.,]){re.escape(figure)}(?![\w.,]*\d)", RESULTS), f"{row[0]}: {figure}"


def test_every_limit_that_is_counted_stands_in_the_results():
    for figure in re.findall(r"\d[\d,]* %|\d,\d+ MB|\bof its \d+", section("What it cannot do")):
        number = NUMBER.findall(figure)[0]
        assert re.search(rf"(?<![\w.,]){number}\b", RESULTS), figure


def test_every_command_exists():
    for script in re.findall(r"`python (\S+\.py)", README):
        assert (ROOT / script).exists(), script
    (commands,) = (each.choices for each in command_line()._actions if each.dest != "help" and each.choices)
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for command in re.findall(r"^\$ diagnose ([\w-]+)", page.read_text(), re.MULTILINE):
            assert command in commands, f"{page.name}: {command}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_file_that_is_linked_exists(name):
    links = re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text())
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
