"""What a person does with the table of runs: chips, groups, columns; and what he sees when runs go or die."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest

from diagnose.endings import Ending
from diagnose.logs import ending_text, layout
from diagnose.logs.writing import EventFile

pytestmark = pytest.mark.slow  # opens many pages

ROWS = "document.querySelectorAll('.ag-row .run-link').length"


def _opened(one, address):
    one.page.goto(address)
    one.page.locator(".run-link").first.wait_for()
    return one.page


@pytest.fixture
def table(visit, address):
    """The table of the four sample runs, in a browser of its own that remembers nothing."""
    one = visit(stranger=True)
    _opened(one, address)
    one.until(f"{ROWS} === 4 && !document.querySelector('.ag-row .health-reading')")
    return one


def test_a_chip_filters_is_let_go_by_a_second_click_and_stands_in_the_address(table):
    page = table.page
    critical = page.locator(".chip", has_text="critical")
    critical.click()
    table.until(f"{ROWS} === 2 && location.search === '?health=critical'")
    assert critical.get_attribute("aria-pressed") == "true"
    critical.click()
    table.until(f"{ROWS} === 4 && location.search === ''")
    symptom = page.locator(".chip", has_text="Divergence")
    symptom.focus()
    page.keyboard.press("Enter")
    table.until(f"{ROWS} === 2 && location.search === '?symptom=divergence'")
    assert page.evaluate("document.activeElement.textContent") == symptom.inner_text().replace("\n", "")
    page.reload()
    table.until(f"{ROWS} === 2")
    page.locator(".chip", has_text="Divergence").press("Space")
    table.until(f"{ROWS} === 4")


def test_groups_have_heads_that_count_fold_by_mouse_and_key_and_stand_in_the_address(table):
    page = table.page
    page.get_by_label("Group by").select_option(label="Group by lr")
    heads = page.locator(".group-head")
    heads.nth(2).wait_for()
    told = [head.inner_text().replace("\n", " ") for head in heads.all()]
    assert [text.partition("run")[0].strip() for text in told] == ["lr: 0.1 1", "lr: 0.4 2", "lr: not told 1"]
    assert "2 critical" in told[1]
    heads.nth(1).click()
    table.until(f"{ROWS} === 2")
    assert heads.nth(1).get_attribute("aria-expanded") == "false"
    heads.nth(1).press("Enter")
    table.until(f"{ROWS} === 4")
    assert "group=lr" in page.url
    page.reload()
    heads.nth(2).wait_for()


@pytest.mark.parametrize("way", ["ascending", "descending"])
def test_a_run_that_does_not_tell_what_is_sorted_by_stands_last_either_way(table, way):
    page = table.page
    head = page.locator(".ag-header-cell", has_text="Loss")
    while head.get_attribute("aria-sort") != way:
        head.click()
    table.until("document.querySelector('.ag-row[row-index=\"3\"]')?.textContent.includes('damaged')")
    first = page.locator('.ag-row[row-index="0"]').inner_text()
    assert ("sound" in first) == (way == "ascending")


def test_columns_are_chosen_kept_and_put_away_by_escape(table):
    page = table.page
    page.locator(".columns-menu summary").click()
    page.get_by_label("Steps", exact=True).check()
    page.get_by_label("momentum", exact=True).check()
    page.get_by_label("Validation", exact=True).uncheck()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "Columns"
    assert not page.locator(".menu").is_visible()
    page.reload()
    for name in ("Steps", "momentum"):
        page.get_by_role("columnheader", name=name).wait_for()
    assert page.get_by_role("columnheader", name="Validation").count() == 0


def test_a_telephone_chooses_columns_of_its_own_and_scrolls_only_the_table(visit, address):
    one = visit(width=390, stranger=True)
    page = _opened(one, address)
    page.locator(".columns-menu summary").click()
    menu = page.locator(".menu").bounding_box()
    assert menu["x"] >= 0
    assert menu["x"] + menu["width"] <= 390
    page.get_by_label("Optimizer", exact=True).check()
    page.keyboard.press("Escape")
    page.reload()
    page.get_by_role("columnheader", name="Optimizer").wait_for(state="attached")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_running_run_shows_its_curve_how_far_it_has_come_and_what_is_left(visit, start, tmp_path):
    with EventFile(tmp_path / "half") as log:
        begun = time.time() - 500
        told = {"schema": 1, "config": {"steps": 1000}, "optimizer": {"type": "SGD", "groups": [{"lr": 0.1}]}}
        log.write_setup(json.dumps(told), begun)
        for step in range(501):
            log.write_step(step, begun + step, [("loss/train", 2.0 / (1 + step))], {})
        log.flush()
        one = visit()
        page = _opened(one, start(tmp_path))
        row = page.locator(".ag-row", has_text="half")
        row.get_by_text("8 min left").wait_for()
        assert "50 %" in row.inner_text() and "live" in row.inner_text()
        assert row.get_by_role("img", name="step 500 of 1,000").is_visible()
        bar, done = (row.locator(name).bounding_box()["width"] for name in (".bar", ".bar-done"))
        assert done == pytest.approx(bar / 2, rel=0.05)
        heights = [float(point.split(",")[1]) for point in row.locator("polyline").get_attribute("points").split()]
        assert heights[0] == min(heights) < max(heights) == heights[-1]  # from top to bottom: it falls


def test_a_run_that_vanishes_leaves_the_table_and_its_page_says_so(visit, start, write_run, tmp_path):
    for name in ("going", "staying"):
        write_run(tmp_path, name, steps=50)
    address = start(tmp_path)
    table, run = visit(), visit()
    _opened(table, address)
    run.page.goto(f"{address}/run?name=going")
    run.page.locator("#plot-loss .main-svg").first.wait_for()
    shutil.rmtree(tmp_path / "going")
    run.page.get_by_text("This run is gone").wait_for()
    assert run.page.locator(".verdict", has_text="going").is_visible()  # what was known stays
    table.page.get_by_role("link", name="going").wait_for(state="detached")
    assert table.page.get_by_role("link", name="staying").is_visible()
    write_run(tmp_path, "going", steps=60)
    run.page.get_by_text("This run is gone").wait_for(state="detached")
    assert run.complaints + table.complaints == []


def test_a_crash_and_a_silence_are_called_what_they_are(visit, start, write_run, tmp_path):
    crashed = tmp_path / "crashed"
    shutil.copytree(write_run(tmp_path, "silent", steps=50).parent, crashed)
    with EventFile(crashed) as log:
        log.write_text(layout.ENDING_TAG, ending_text.as_json(Ending("crashed", "RuntimeError", "boom")), time.time())
        log.write_step(50, time.time() + 1, [(layout.CLOSED_TAG, layout.CUT_SHORT)], {})
    for file in (tmp_path / "silent").iterdir():
        os.utime(file, (1.7e9, 1.7e9))
    page = _opened(visit(), start(tmp_path))
    states = {name: page.locator(f'.ag-row:has(a[href="run?name={name}"]) .activity') for name in ("crashed", "silent")}
    states["crashed"].get_by_text("crashed").wait_for()
    states["silent"].get_by_text("stalled").wait_for()
    assert states["crashed"].get_attribute("title") == "ended by RuntimeError: boom"
    page.get_by_role("link", name="crashed").click()
    page.locator(".verdict", has_text="crashed · ended by RuntimeError: boom · last write").wait_for()
    page.go_back()
    page.get_by_role("link", name="silent").click()
    page.locator(".verdict", has_text="stalled · nothing written since 2023").wait_for()
