"""The manual: built with warnings as errors, complete, without a dead link, and asking no other host."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from diagnose import explaining, symptoms
from diagnose.cli import command_line
from diagnose.prescriptions.couplings import GRAPH

DOCS = Path(__file__).parents[2] / "docs"
LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src", "use": "href"}
NEVER_LOADED = {"canonical", "next", "prev"}  # kinds of <link> that only say where something is
UNSHOWN = {"late_instability", "too_short_to_tell"}  # in no recorded run


class Page(HTMLParser):
    """What a page loads, what it links to, and the places that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.places |= {told[name] for name in ("id", "name") if told.get(name)}
        if tag == "a" and told.get("href"):
            self.links.append(told["href"])
        if tag in LOADS and told.get(LOADS[tag]) and told.get("rel") not in NEVER_LOADED:
            self.loads.append(told[LOADS[tag]])


@cache
def page(path: Path) -> Page:
    return Page(path)


@pytest.fixture(scope="session")
def site(manual) -> Path:
    return manual / "site"


def test_a_warning_stops_the_build(manual, tmp_path):
    settings = (DOCS / "mkdocs.yml").read_text().partition("nav:")[0]
    (tmp_path / "mkdocs.yml").write_text(settings)
    (tmp_path / "pages").mkdir()
    shutil.copytree(DOCS / "assets", tmp_path / "pages" / "assets")
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    for link, sound in (("#here", True), ("nowhere.md", False), ("#nowhere", False)):
        (tmp_path / "pages" / "index.md").write_text(f"# Here\n\nA [link]({link}).\n")
        assert (subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0) is sound


def test_every_id_of_diagnose_explain_has_a_place(site):
    from generators.prose import places

    assert set(places()) == {name for names in explaining.ids().values() for name in names}
    for name, place in places().items():
        path, _, anchor = place.partition("#")
        built = site / path.replace(".md", ".html")
        assert built.exists(), name
        assert not anchor or anchor in page(built).places, name


def test_a_symptom_is_shown_in_a_recorded_run_beside_a_healthy_one(site):
    for name in symptoms.ids():
        text = (site / "symptoms" / f"{name}.html").read_text()
        assert (text.count('<figure class="runs">') == 1) is (name not in UNSHOWN), name
        assert name in UNSHOWN or re.search(r'aria-label="ill: .*?<path|<rect.*aria-label="healthy: ', text), name
        assert f"diagnose explain {name}" in re.sub(r"<[^>]+>", "", text), name


def test_a_picture_that_would_lie_is_refused(monkeypatch):
    from generators import pictures

    monkeypatch.setattr(pictures, "SHOWN", {"divergence": pictures.Shown("plain-classification-0")})
    with pytest.raises(ValueError, match="plain-classification-0 should show divergence"):
        pictures.picture("divergence")


def test_thresholds_stand_with_their_values_and_reasons(manual):
    told = (manual / "pages" / "symptoms" / "divergence.md").read_text()
    assert "| `LOST_PROGRESS` | `0.5` | share of the fall that is lost again at the end" in told


def test_every_coupling_is_in_the_graph_and_in_the_table_with_its_formula(site, manual):
    text = (site / "couplings.html").read_text()
    assert text.count('class="edge"') == len(GRAPH)
    source = (manual / "pages" / "couplings.md").read_text()
    assert all(f'<a id="{each.id}"></a>' in source for each in GRAPH)


def test_every_command_is_on_the_page_of_the_command_line(site):
    (commands,) = (each.choices for each in command_line()._actions if each.dest != "help" and each.choices)
    text = (site / "command-line.html").read_text()
    for name, parser in commands.items():
        assert f'id="{name}"' in text
        assert all(
            f"<code>{flag}</code>" in text
            for each in parser._actions
            for flag in each.option_strings
            if each.dest != "help"
        )


def test_examples_are_listed_where_there_are_any(tmp_path, monkeypatch):
    from generators import inclusions

    monkeypatch.setattr(inclusions, "EXAMPLES", tmp_path / "absent")
    assert "no examples" in inclusions.included("<!-- examples: -->")
    (tmp_path / "ignite.py").write_text('"""Ignite: a handler."""\n\nimport ignite\n')
    monkeypatch.setattr(inclusions, "EXAMPLES", tmp_path)
    listed = inclusions.included("before\n\n<!-- examples: -->\n")
    assert "## Ignite\n\na handler." in listed and "import ignite\n```" in listed


def test_a_section_of_the_results_that_is_gone_stops_the_build():
    from generators import inclusions

    with pytest.raises(ValueError, match="0 sections called 'Yesterday'"):
        inclusions.included("<!-- results: Yesterday -->")


def test_no_link_within_the_manual_is_dead(site):
    dead = []
    for path in site.rglob("*.html"):
        if path.name == "404.html":  # served from anywhere, its links are the theme's
            continue
        for link in page(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            places = page(target).places if target.suffix == ".html" and target.exists() else set()
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in places):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert dead == []


def test_no_page_and_no_style_sheet_names_another_host_to_load_from(site):
    elsewhere = [
        f"{path.relative_to(site)}: {load}"
        for path in site.rglob("*.html")
        for load in page(path).loads
        if urlsplit(load).netloc
    ]
    elsewhere += [
        f"{path.name}: {found}"
        for path in site.rglob("*.css")
        for found in re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]+", path.read_text())
    ]
    assert elsewhere == []


def test_search_works_from_a_folder_without_a_server_and_without_a_network(site, visit):
    opened = visit()
    opened.page.goto((site / "symptoms/divergence.html").as_uri())  # a folder down: scripts lie one up
    opened.page.keyboard.press("Control+k")
    opened.page.keyboard.type("vanishing gradients")
    opened.page.locator(
        "a[href*='symptoms/vanishing_gradients.html']:visible", has_text="Vanishing gradients"
    ).last.wait_for()
    assert not [address for address in opened.requested if not address.startswith(("file:", "data:", "blob:"))]
    assert opened.complaints == []


@pytest.mark.slow  # another page to open
def test_nothing_runs_over_the_edge_on_a_telephone(site, visit):
    opened = visit(390, "dark")
    for name in ("symptoms/vanishing_gradients", "couplings", "overhead", "reference"):
        opened.page.goto((site / f"{name}.html").as_uri())
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    assert not [address for address in opened.requested if not address.startswith(("file:", "data:", "blob:"))]
