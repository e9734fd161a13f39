"""The page of all runs, in a real browser."""

import os
import re

import pytest


def _row(page, name):
    return page.locator(".ag-row", has=page.get_by_role("link", name=name, exact=True))


def _no_sideways_scrolling(page):
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_health_is_seen_at_a_glance_and_the_worst_run_stands_first(visit, address):
    page = visit().page
    page.goto(address)
    page.locator(".count", has_text="2critical").wait_for()
    page.locator(".count", has_text="1unreadable").wait_for()
    page.locator('.ag-row[row-index="0"]', has_text="critical").wait_for()
    page.locator('.ag-row[row-index="3"]', has_text="healthy").wait_for()
    cut = "one => one.getBoundingClientRect().right > one.closest('.ag-cell-value').getBoundingClientRect().right"
    assert page.locator(".ag-row .health").evaluate_all(f"all => all.filter({cut}).map(one => one.textContent)") == []


def test_a_row_tells_the_finding_the_first_change_and_the_numbers_or_why_there_are_none(visit, address, samples):
    for file in (samples / "ill").glob("*tfevents*"):
        os.utime(file)  # written just now: the samples may be older than a minute by the time this is looked at
    page = visit().page
    page.goto(address)
    told = _row(page, "ill").inner_text()
    assert "Divergence" in told
    assert re.search(r"lr 0\.4 → 0\.\d+", told)
    assert "399" in told
    assert "SGD" in told
    assert "128" in told
    assert "live" in told
    unreadable = _row(page, "damaged").inner_text()  # listed with the reason
    assert "unreadable" in unreadable
    assert "no event" in unreadable


def test_a_click_on_a_row_opens_the_run(visit, address):
    page = visit().page
    page.goto(address)
    _row(page, "ill").locator('[col-id="finding"]').click()
    page.locator("h1", has_text="ill").wait_for()
    assert page.url.endswith("/run?name=ill")
    page.go_back()
    page.locator("h1", has_text="Runs").wait_for()


@pytest.mark.slow  # another page to open
def test_a_run_can_be_opened_with_the_keyboard_alone(visit, address):
    page = visit().page
    page.goto(address)
    page.locator(".run-link").first.wait_for()
    page.locator('.ag-row[row-index="0"] [col-id="name"]').focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/run?name=*")


def test_the_filter_keeps_the_runs_that_match(visit, address):
    one = visit()
    page = one.page
    page.goto(address)
    page.locator(".run-link").first.wait_for()
    page.get_by_label("Filter runs").fill("sound")
    one.until("document.querySelectorAll('.ag-row').length === 1")
    assert _row(page, "sound").count() == 1


@pytest.mark.slow
def test_a_link_holds_columns_sorting_and_column_filters(visit, address):
    one = visit(stranger=True)
    one.page.goto(f"{address}/?shown=steps&shown=setting:momentum&hidden=train&sort=name:desc")
    names = (
        "[...document.querySelectorAll('.ag-row')].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)"
        ".map(row => row.querySelector('.run-link').textContent)"
    )
    one.until(f"{names}.length === 4 && {names}[0] === 'sound'")
    heads = one.page.locator(".ag-header-cell-text")
    told = heads.all_inner_texts()
    assert {"Steps", "momentum"} <= set(told)
    assert "Loss" not in told
    one.page.get_by_role("columnheader", name="Run").click()  # once more: not sorted by it
    one.until("!location.search.includes('sort=name')")
    one.page.get_by_role("columnheader", name="Run").click()
    one.until("new URLSearchParams(location.search).get('sort') === 'name:asc'")
    one.page.evaluate(
        "dash_ag_grid.getApi('runs-grid').setFilterModel({name: {filterType: 'text', type: 'contains', filter: 'sou'}})"
    )
    one.until("location.search.includes('filter=') && document.querySelectorAll('.ag-row').length === 1")

    other = visit(stranger=True)
    other.page.goto(one.page.url)
    other.until(f"{names}.length === 1 && {names}[0] === 'sound'")
    assert other.page.locator(".ag-header-cell-text").all_inner_texts() == told


@pytest.mark.slow  # another page to open
def test_groups_are_told_apart_by_all_of_a_value_s_digits(visit, start, tmp_path, write_run):
    for name, seed, dropout in (("a", 1_234_567, 0.12345), ("b", 1_234_890, 0.12349), ("c", 7, 0.5)):
        write_run(tmp_path, name, steps=40, seed=seed, dropout=dropout)
    page = visit().page
    page.goto(f"{start(tmp_path)}/?group=seed")
    heads = page.locator(".group-name strong")
    heads.nth(2).wait_for()
    assert heads.all_inner_texts() == ["7", "1,234,567", "1,234,890"]
    page.get_by_label("Group by").select_option("dropout")
    page.locator(".group-name", has_text="dropout: 0.5").wait_for()
    assert heads.all_inner_texts() == ["0.12345", "0.12349", "0.5"]


def test_no_request_leaves_the_host_and_the_browser_has_nothing_to_complain_about(visit, address, foreign):
    one = visit()
    one.page.goto(address)
    one.page.locator(".run-link").first.wait_for()
    one.page.wait_for_timeout(2200)  # a refresh included
    assert foreign(one, address) == []
    assert one.complaints == []


@pytest.mark.parametrize("path", ["/", pytest.param("/run?name=ill", marks=pytest.mark.slow)])  # another page to open
def test_a_narrow_window_does_not_scroll_sideways(visit, address, path):
    page = visit(width=390).page
    page.goto(address + path)
    page.locator(".run-link, .verdict").first.wait_for()
    page.wait_for_timeout(500)
    assert _no_sideways_scrolling(page)


@pytest.mark.slow  # another page to open
def test_a_narrow_table_still_tells_health_name_and_finding(visit, address):
    one = visit(width=390)
    page = one.page
    page.goto(address)
    one.until("document.querySelectorAll('.ag-header-cell').length === 2")
    told = _row(page, "ill").inner_text()
    assert "critical" in told
    assert "Divergence" in told


@pytest.mark.slow  # another page to open
def test_dark_follows_the_system_and_the_toggle_changes_it(visit, address):
    one = visit(scheme="dark", stranger=True)
    page = one.page
    page.goto(address)
    page.locator(".run-link").first.wait_for()
    background = "getComputedStyle(document.querySelector('.ag-row')).backgroundColor"
    surface = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(surface) == "rgb(17, 21, 26)"
    assert page.evaluate(background) != "rgb(255, 255, 255)"
    page.get_by_label("Switch between light and dark").click()
    one.until(f"{surface} === 'rgb(246, 247, 248)'")


@pytest.mark.slow  # hostile names on every page: test_inert.py
def test_a_hostile_name_is_shown_as_text(visit, address, hostile_name):
    page = visit().page
    page.goto(address)
    link = page.get_by_role("link", name=hostile_name)
    link.wait_for()
    assert page.locator("#runs-grid img").count() == 0
    link.click()
    page.locator("h1", has_text=hostile_name).wait_for()
    page.locator("#plot-loss .main-svg").first.wait_for()
    for fold in page.locator(".folds summary").all():
        fold.click()
    assert page.locator("main img").count() == 0
    assert page.evaluate("window.hacked") is None


def test_an_empty_folder_says_how_a_run_gets_there_and_shows_it_once_it_does(visit, start, tmp_path, write_run):
    page = visit().page
    page.goto(start(tmp_path))
    page.locator("pre", has_text="diagnose.attach(model, optimizer)").wait_for()
    write_run(tmp_path, "first")
    page.get_by_role("link", name="first").wait_for()
    assert not page.locator("pre").is_visible()


@pytest.mark.slow  # another page to open
def test_a_new_run_appears_while_the_filter_stays(visit, start, tmp_path, write_run):
    write_run(tmp_path, "one")
    page = visit().page
    page.goto(start(tmp_path))
    page.get_by_role("link", name="one").wait_for()
    page.get_by_label("Filter runs").fill("tw")
    page.get_by_role("link", name="one").wait_for(state="detached")
    write_run(tmp_path, "two")
    page.get_by_role("link", name="two").wait_for()
    assert page.get_by_role("link", name="one").count() == 0


def test_with_a_token_the_printed_address_opens_the_page_and_the_token_leaves_the_address(visit, start, samples):
    address = start(samples, "secret-token")
    page = visit().page
    page.goto(f"{address}/?token=secret-token")
    page.locator(".run-link").first.wait_for()
    assert "token" not in page.url
    page.reload()
    page.locator(".run-link").first.wait_for()
    stranger = visit(stranger=True).page
    assert stranger.goto(address).status == 403
