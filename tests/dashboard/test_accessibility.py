"""What axe-core finds on every page, light and dark: nothing serious or critical."""

from __future__ import annotations

from pathlib import Path

import pytest

AXE = (Path(__file__).parent / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
GRAVE = "['serious', 'critical']"
SETTLED = "(one) => one.playState !== 'running' || one.effect.getTiming().iterations === Infinity"  # of an animation
PAGES = {
    "runs": ("/", ".ag-row a"),
    "run": ("/run?name=ill", "#plot-loss .main-svg"),
    "unreadable run": ("/run?name=damaged", ".hint"),
    "compare": ("/compare?run=ill&run=nets/sound", "#plot-compare .trace"),
    "what if": ("/what-if", "#what-if-answer .after"),
    "what if, with errors": ("/what-if?lr=abc&new.batch_size=-1", "input[aria-invalid=true]"),
    "no such page": ("/nowhere", ".hint"),
}

ALIKE = (
    "unreadable run",
    "compare",
    "what if",
    "what if, with errors",
    "no such page",
)  # made of what other pages have: looked at in `make test-all` only


def _problems(page) -> list[str]:
    """Each grave violation with the elements it was found on."""
    found = page.evaluate(f"""async () => {{
        const {{ violations, passes }} = await axe.run(document, {{ resultTypes: ["violations"] }});
        if (!passes.length) return ["axe looked at nothing"];
        return violations.filter(({{ impact }}) => {GRAVE}.includes(impact)).flatMap(({{ id, nodes }}) =>
            nodes.map((node) => `${{id}}: ${{node.html.slice(0, 160)}} (${{node.failureSummary.split("\\n")[1]}})`));
    }}""")
    assert isinstance(found, list)
    return found


def _light_and_dark(one) -> dict[str, list[str]]:
    page = one.page
    page.evaluate(AXE)
    found = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.locator(f":root[data-mantine-color-scheme={scheme}]").wait_for()
        page.wait_for_timeout(400)  # plots are drawn anew in the other colours
        one.until(f"document.getAnimations().every({SETTLED})")
        found[scheme] = _problems(page)
    return found


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in ALIKE else []) for n in PAGES])
def test_nothing_grave_stands_in_the_way(visit, address, name):
    path, there = PAGES[name]
    one = visit()
    one.page.goto(f"{address}{path}")
    one.page.locator(there).first.wait_for()
    assert _light_and_dark(one) == {"light": [], "dark": []}


def test_nothing_grave_stands_in_the_way_of_a_first_visit(visit, start, tmp_path):
    one = visit(width=390)
    one.page.goto(start(tmp_path))
    one.page.get_by_text("import diagnose").wait_for()
    assert _light_and_dark(one) == {"light": [], "dark": []}


@pytest.mark.slow  # another page to open
def test_nothing_grave_stands_in_the_way_of_a_telephone(visit, address):
    one = visit(width=390)
    one.page.goto(f"{address}/compare?run=ill&run=nets/sound")
    one.page.locator("#compare-settings table").wait_for()
    assert _light_and_dark(one) == {"light": [], "dark": []}


@pytest.mark.slow  # every place of every page
@pytest.mark.parametrize(
    ("path", "there", "met"),
    [
        ("/compare?run=ill&run=nets/sound", ".pair-told", {"What if", "compare-signal", "PNG"}),
        ("/", ".run-link", {"What if", "runs-filter", "Columns", "2critical"}),
    ],
)
def test_whoever_walks_by_keys_sees_where_he_is(visit, address, path, there, met):
    page = visit(scheme="dark").page
    page.goto(f"{address}{path}")
    page.locator(there).first.wait_for()
    outlines = {}
    for _ in range(13):
        page.keyboard.press("Tab")
        here, style, width = page.evaluate(
            "(({outlineStyle, outlineWidth}, e) => [e.id || e.textContent || e.outerHTML, outlineStyle, outlineWidth])"
            "(getComputedStyle(document.activeElement), document.activeElement)"
        )
        outlines[here] = f"{style} {width}"
    assert met <= set(outlines)
    assert {here: told for here, told in outlines.items() if told != "solid 2px"} == {}


def test_the_check_sees_what_is_grave(visit, address):
    page = visit().page
    page.goto(f"{address}/nowhere")
    page.locator(".hint").wait_for()
    page.evaluate(AXE)
    page.evaluate("document.querySelector('.hint-title').style.color = '#eee'")
    page.evaluate("document.querySelector('.brand img').removeAttribute('alt')")
    assert {told.partition(":")[0] for told in _problems(page)} == {"color-contrast", "image-alt"}


def test_a_page_that_is_used_again_is_as_dark_as_its_visitor_asks(open_visit, address):
    first = open_visit(scheme="dark")
    first.page.emulate_media(color_scheme="light")
    first.leave()
    second = open_visit(scheme="dark")
    assert second.page is first.page
    second.page.goto(f"{address}/nowhere")
    second.page.locator(":root[data-mantine-color-scheme=dark]").wait_for()
    second.leave()
