"""The page of one run, in a real browser."""

import re
import time

import numpy as np
import pytest

from diagnose.logs.writing import EventFile

STEPS_SHOWN = "document.querySelector('#plot-loss .js-plotly-plot')._fullLayout.xaxis.range"


def _open(one, address, name):
    one.page.goto(f"{address}/run?name={name}")
    one.page.locator("#plot-loss .main-svg").first.wait_for()
    return one.page


def test_the_verdict_the_window_and_the_prescription_are_there(ill):
    page = ill.page
    assert "critical" in page.locator(".verdict").inner_text()
    page.locator("#plot-loss .annotation-text", has_text="Divergence").wait_for()
    change = page.locator(".change").first.inner_text()
    assert "Lower the learning rate" in change
    assert re.search(r"lr\s+0\.4\s+→\s+0\.\d+", change)
    source = page.locator(".change .sources summary").first
    assert re.search(r"K\d\d", source.inner_text())
    source.click()
    assert page.locator(".change .sources dd").first.is_visible()  # what the cited row says
    assert page.locator(".change", has_text="warmup_steps").last.get_by_text("steps", exact=True).is_visible()
    page.locator(".coupled .change").first.wait_for()  # what the rate pulls along


def test_no_other_host_is_asked_nothing_complained_of_and_no_plot_offers_to_be_uploaded(ill, assert_kept_here):
    assert_kept_here(ill)


def test_a_cause_s_evidence_is_a_table_of_log_odds_that_add_up_and_so_are_all_of_them_together(ill):
    cause = ill.page.locator(".cause").first
    assert cause.locator("thead").inner_text().startswith("log-odds")
    told = [float(cell.replace("−", "-")) for cell in cause.locator("tr td:first-child").all_inner_texts()]
    *weights, total = told
    assert len(weights) >= 2
    assert sum(weights) == pytest.approx(total, abs=0.06 * len(weights))  # each is shown to two digits
    assert "divergence" in cause.inner_text()
    assert "%" in cause.locator("tfoot").inner_text()
    ill.page.locator("summary", has_text="likeliest causes side by side").click()
    together = ill.page.locator(".together")
    assert together.get_by_role("rowheader", name="before any finding").is_visible()
    assert together.get_by_role("columnheader").count() >= 2


def test_the_faults_of_the_set_up_are_among_the_findings(ill):
    found = ill.page.locator(".finding", has_text="Incomplete record").inner_text()
    assert "Not recorded: dataset_size, dataset_version" in found


@pytest.mark.parametrize(("word", "kind"), [("HTML", "html"), ("Markdown", "md"), ("JSON", "json")])
def test_the_report_is_taken_along_by_a_click(ill, word, kind):
    with ill.page.expect_download() as loaded:
        ill.page.locator(".verdict").get_by_role("link", name=word).click()
    assert loaded.value.suggested_filename == f"ill.{kind}"
    assert "divergence" in loaded.value.path().read_text().lower()


@pytest.mark.parametrize("clipboard", [True, False], ids=["clipboard", "plain http"])
def test_the_changes_are_copied_by_keys_alone(ill, clipboard):
    page = ill.page
    page.context.grant_permissions(["clipboard-read"])
    if not clipboard:  # to a page that came over plain http from another machine, browsers give none
        page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true})")
    for title, begins in (("Python", "changes = {"), ("YAML", "lr: "), ("Optuna", "config |= {")):
        page.evaluate("document.querySelector('#run-prescription .snippets').open = true")
        page.get_by_role("button", name=f"Copy as {title}").focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name=f"Copy as {title}").filter(has_text="Copied").wait_for()
        page.evaluate("delete navigator.clipboard")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith(begins)
        assert copied.strip() == page.locator(".snippet", has_text=title).locator("pre").inner_text().strip()


def test_what_is_unfolded_stays_inside_its_card(ill):
    page = ill.page
    page.evaluate("document.querySelectorAll('.beside details').forEach((one) => (one.open = true))")
    wider = page.evaluate(
        "[...document.querySelectorAll('.beside .card *')].filter((one) => !one.closest('pre, .scrolls')"
        " && one.getBoundingClientRect().right > one.closest('.card').getBoundingClientRect().right)"
        ".map((one) => one.className)"
    )
    page.evaluate("document.querySelectorAll('.beside details').forEach((one) => (one.open = false))")
    assert wider == []


@pytest.mark.slow  # another page to open
def test_a_healthy_run_has_nothing_to_change(visit, address):
    page = _open(visit(), address, "nets/sound")
    assert "healthy" in page.locator(".verdict").inner_text()
    page.locator(".card", has_text="Nothing: no finding calls for a change.").wait_for()


def test_signals_that_were_not_logged_take_no_room(ill):
    page = ill.page
    page.locator("#plot-layer-grad-norm .main-svg").first.wait_for()
    assert not page.locator("#plot-layer-variance-card").is_visible()


def test_selecting_a_finding_shows_its_steps_and_the_whole_run_comes_back(ill):
    page = ill.page
    whole = page.evaluate(STEPS_SHOWN)
    finding = page.locator(".finding", has_text="Divergence")
    finding.click()
    ill.until(f"{STEPS_SHOWN}[0] > 50")
    assert finding.get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Whole run").click()
    ill.until(f"{STEPS_SHOWN}[0] < 50")
    assert page.evaluate(STEPS_SHOWN) == pytest.approx(whole)


@pytest.mark.slow  # another page to open
def test_the_plots_are_drawn_for_a_dark_page(visit, address):
    one = visit(scheme="dark")
    _open(one, address, "ill")
    ink = "document.querySelector('#plot-loss .js-plotly-plot')._fullLayout.font.color"
    one.until(f"parseInt({ink}.slice(1, 3), 16) > 128")


def test_the_set_up_is_folded_away_and_opens(ill):
    page = ill.page
    assert not page.get_by_text("batch_size").is_visible()
    page.locator(".folds summary", has_text="Config").click()
    assert page.get_by_text("batch_size").is_visible()
    page.locator(".folds summary", has_text="Layers").click()
    assert page.get_by_role("rowheader", name="stem").is_visible()


def test_a_growing_log_updates_the_open_page_and_keeps_zoom_and_folds(visit, start, tmp_path):
    with EventFile(tmp_path / "live") as log:
        _append(log, 0, 200)
        one = visit()
        page = _open(one, start(tmp_path), "live")
        page.locator(".key-numbers", has_text="199").wait_for()
        page.locator(".folds summary", has_text="Signals not logged").click()
        page.evaluate("document.querySelector('#plot-loss .js-plotly-plot').scrollIntoView({block: 'center'})")
        box = page.locator("#plot-loss .nsewdrag").bounding_box()
        page.mouse.move(box["x"] + 80, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 240, box["y"] + 120, steps=4)
        page.mouse.up()
        one.until(f"{STEPS_SHOWN}[0] > 10")
        zoomed = page.evaluate(STEPS_SHOWN)
        _append(log, 200, 300)
        page.locator(".key-numbers", has_text="499").wait_for()
        page.wait_for_timeout(500)
        assert page.evaluate(STEPS_SHOWN) == pytest.approx(zoomed, abs=1.01)  # whole steps
        assert page.locator(".folds details[open]").count() == 1
        page.get_by_role("button", name="Whole run").click()
        one.until("document.querySelector('#plot-loss .js-plotly-plot').calcdata.flat().some(point => point.x >= 490)")


@pytest.mark.parametrize("name", ["../ill", "..%252fill", ""])
def test_a_name_that_is_no_run_says_so(visit, address, name):
    page = visit().page
    page.goto(f"{address}/run?name={name}")
    page.get_by_text("No run by that name").wait_for()


@pytest.mark.slow  # another page to open
def test_a_run_that_begins_later_is_shown_as_soon_as_it_does(visit, start, write_run, tmp_path):
    page = visit().page
    page.goto(f"{start(tmp_path)}/run?name=later&axis=log")
    page.get_by_text("No run by that name").wait_for()
    write_run(tmp_path, "later", steps=60)
    page.locator(".verdict h1", has_text="later").wait_for()
    assert "axis=log" in page.url


@pytest.mark.slow  # another page to open
def test_an_unreadable_run_says_why(visit, address):
    page = visit().page
    page.goto(f"{address}/run?name=damaged")
    page.get_by_text("This run cannot be read").wait_for()
    page.get_by_text("not TensorBoard event files").wait_for()
    page.get_by_label("First step shown").wait_for(state="hidden")  # there is no plot to set anything about


def test_an_address_that_is_no_page_leads_back(visit, address):
    page = visit().page
    page.goto(f"{address}/nowhere/at/all")
    page.get_by_role("link", name="Back to all runs").click()
    page.locator("h1", has_text="Runs").wait_for()


def _append(log: EventFile, first: int, count: int) -> None:
    for step in range(first, first + count):
        log.write_step(step, time.time(), [("loss/train", 2 * float(np.exp(-step / 200)) + 0.1)], {})
    log.flush()
