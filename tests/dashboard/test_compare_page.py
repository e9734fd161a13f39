"""The page of several runs side by side, in a real browser."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def compared(open_visit, address):
    one = open_visit()
    one.page.goto(f"{address}/compare?run=ill&run=nets/sound")
    one.page.locator("#plot-compare .scatterlayer .trace").nth(1).wait_for()
    yield one
    one.page.close()


def test_the_runs_their_health_and_the_better_one_are_named(compared):
    text = compared.page.locator("#page").inner_text()
    assert "ill" in text and "nets/sound" in text
    assert "The first run is worse (divergence)" in text
    assert "critical" in text and "healthy" in text


def test_settings_that_differ_stand_side_by_side(compared):
    row = compared.page.locator("#compare-settings tr", has=compared.page.get_by_role("rowheader", name="lr"))
    assert row.locator("td").all_inner_texts() == ["0.4", "0.1"]


def test_another_signal_and_another_axis_are_drawn(compared):
    page = compared.page
    page.get_by_text("samples", exact=True).click()
    page.locator("#plot-compare .xtitle", has_text="samples").wait_for()
    page.locator("#compare-signal").click()
    page.get_by_role("option", name="grad_norm", exact=True).click()
    compared.until("document.querySelector('#plot-compare .js-plotly-plot')?._fullData?.[0]?.y?.[0] === 1")


def test_an_axis_that_no_log_tells_is_said_to_be_missing(compared):
    compared.page.get_by_text("epoch", exact=True).click()
    compared.page.locator("#plot-compare .annotation", has_text="needs batch_size and dataset_size").wait_for()


def test_runs_are_ticked_in_the_table_and_then_compared(visit, address):
    page = visit().page
    page.goto(address)
    button = page.locator("#runs-compare")
    for name in ("ill", "nets/sound"):
        row = page.locator(".ag-row", has=page.locator(f'a[href="run?name={name}"]'))
        row.locator("input[type=checkbox]").check()
    page.get_by_text("Compare 2 runs").wait_for()
    button.click()
    page.wait_for_url("**/compare?run=*")
    page.locator(".compare-run").nth(1).wait_for()


@pytest.mark.parametrize("query", ["", "?run=no-such-run", "?run=../../etc/passwd&run=%2Fetc"])
def test_without_runs_the_page_says_what_to_do(visit, address, query):
    page = visit().page
    page.goto(f"{address}/compare{query}")
    page.get_by_text("Tick two to ten runs").wait_for()


def test_a_hostile_name_is_only_text(visit, address, hostile_name):
    from urllib.parse import quote

    page = visit().page
    page.goto(f"{address}/compare?run={quote(hostile_name)}&run=ill")
    page.locator(".compare-run", has_text="onerror").wait_for()
    page.locator("#plot-compare .trace").first.wait_for()
    assert page.evaluate("window.hacked") is None


def test_it_fits_a_telephone(visit, address):
    page = visit(width=390).page
    page.goto(f"{address}/compare?run=ill&run=nets/sound")
    page.locator("#compare-settings table").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
