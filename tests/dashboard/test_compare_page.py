"""The page of several runs side by side, in a real browser."""

from __future__ import annotations

import shutil
import time
from urllib.parse import quote

import pytest

from diagnose.logs.writing import EventFile

LAST = "document.querySelector('#plot-compare .js-plotly-plot')?._fullData?.[1]?.x?.at(-1)"


def _append(log, steps):
    for step in steps:
        log.write_step(step, time.time(), [("loss/train", 2 - step / 200)], {})
    log.flush()


@pytest.fixture(scope="module")
def compared(open_visit, address):
    one = open_visit()
    one.page.goto(f"{address}/compare?run=ill&run=nets/sound")
    one.page.locator("#plot-compare .scatterlayer .trace").nth(1).wait_for()
    yield one
    one.leave()


def test_the_runs_their_health_and_the_better_one_are_named(compared):
    text = compared.page.locator("#page").inner_text()
    assert "ill" in text and "nets/sound" in text
    assert "ill is worse than nets/sound (divergence)" in text
    assert "critical" in text and "healthy" in text


def test_no_other_host_is_asked_nothing_complained_of_and_no_plot_offers_to_be_uploaded(compared, assert_kept_here):
    assert_kept_here(compared)


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
    note = compared.page.locator("#compare-left-out", has_text="nets/sound is not drawn: epochs need batch_size and")
    note.wait_for()
    compared.page.get_by_text("step", exact=True).click()
    note.wait_for(state="hidden")


@pytest.mark.slow  # another page to open
def test_a_run_that_does_not_log_the_signal_is_said_to_be_missing(visit, samples, start, write_run, tmp_path):
    write_run(tmp_path, "told", steps=50)
    write_run(tmp_path, "untold", steps=50, batch_size=None)
    page = visit().page
    page.goto(f"{start(tmp_path)}/compare?run=told&run=untold&axis=samples")
    page.locator("#compare-left-out", has_text="untold is not drawn: samples need batch_size in its config").wait_for()
    page.locator("#plot-compare .trace").first.wait_for()
    x = page.evaluate("[...document.querySelector('#plot-compare .js-plotly-plot')._fullData[0].x]")
    assert x[1] - x[0] == 128  # samples of one step


@pytest.mark.slow  # another page to open
def test_a_run_that_vanishes_is_said_to_be_gone_and_the_others_keep_their_colours(visit, start, write_run, tmp_path):
    for name in ("vanish", "second", "third"):
        write_run(tmp_path, name, steps=50)
    one, other, address = visit(), visit(), start(tmp_path)
    one.page.goto(f"{address}/compare?run=vanish&run=second&run=third")
    one.page.locator("#plot-compare .trace").nth(2).wait_for()
    colours = (
        "[...document.querySelector('#plot-compare .js-plotly-plot').data].map(({name, line}) => name + line.color)"
    )
    before = one.page.evaluate(colours)
    other.page.goto(f"{address}/run?name=vanish")
    report = other.page.get_by_role("link", name="Markdown")
    report.wait_for()
    shutil.rmtree(tmp_path / "vanish")
    one.page.locator("#compare-left-out", has_text="vanish is gone: its files were moved or deleted.").wait_for()
    assert one.page.evaluate(colours) == before[1:]
    one.page.locator("#compare-why", has_text="vanish cannot be read, or is gone: choose another run").wait_for()
    one.page.locator(".compare-run", has_text="vanish").get_by_text("gone", exact=True).wait_for()
    other.page.get_by_role("heading", name="This run is gone").wait_for()
    assert not report.is_visible()


@pytest.mark.slow  # another page to open
def test_of_more_than_ten_runs_the_first_ten_are_shown_and_told_apart(visit, start, write_run, tmp_path):
    names = [f"run{number:02}" for number in range(12)]
    for name in names:
        write_run(tmp_path, name, steps=20)
    page = visit().page
    page.goto(f"{start(tmp_path)}/compare?{'&'.join(f'run={name}' for name in names)}")
    page.locator("#plot-compare .trace").nth(9).wait_for()
    drawn = page.evaluate(
        "document.querySelector('#plot-compare .js-plotly-plot')._fullData.map(({name, line}) => "
        "[name, `${line.color} ${line.dash}`])"
    )
    assert [name for name, _ in drawn] == names[:10] == page.locator(".compare-run a").all_inner_texts()
    assert len({look for _, look in drawn}) == 10


@pytest.mark.slow  # another page to open
def test_a_growing_run_draws_on_and_the_zoom_stays(visit, start, write_run, tmp_path):
    write_run(tmp_path, "first", steps=100)
    with EventFile(tmp_path / "growing") as log:
        _append(log, range(100))
        one = visit()
        one.page.goto(f"{start(tmp_path)}/compare?run=first&run=growing&zoom=20,60,0,2")
        one.until(f"{LAST} === 99")
        _append(log, range(100, 150))
        one.until(f"{LAST} === 149")
        shown = "document.querySelector('#plot-compare .js-plotly-plot')._fullLayout.xaxis.range.map(Number)"
        assert one.page.evaluate(shown) == [20, 60]


@pytest.mark.slow  # another page to open
def test_the_address_holds_signal_axis_zoom_reference_and_table(visit, address):
    one = visit()
    page = one.page
    page.goto(f"{address}/compare?run=ill&run=nets/sound")
    page.locator("#plot-compare .trace").nth(1).wait_for()
    page.locator("#compare-signal").click()
    page.get_by_role("option", name="grad_norm", exact=True).click()
    page.get_by_text("samples", exact=True).click()
    page.locator("#plot-compare .xtitle", has_text="samples").wait_for()
    page.locator("#compare-reference").click()
    page.get_by_role("option", name="2 nets/sound").click()
    page.get_by_role("switch", name="Only differences").click()
    page.get_by_role("rowheader", name="momentum").wait_for()
    page.get_by_role("heading", name="Compare").scroll_into_view_if_needed()
    for _ in range(4):  # a drag on a plot that is being drawn anew is lost
        page.wait_for_timeout(700)
        box = page.locator("#plot-compare .nsewdrag").bounding_box()
        page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.7 * box["height"], steps=4)
        page.mouse.up()
        page.wait_for_timeout(700)
        if "zoom=" in page.url:
            break
    one.until("location.search.includes('zoom=')")
    shown = "document.querySelector('#plot-compare .js-plotly-plot')?._fullLayout?.xaxis?.range"
    zoomed = page.evaluate(shown)
    link = page.url

    other = visit()
    other.page.goto(link)
    other.page.get_by_role("rowheader", name="momentum").wait_for()
    other.page.locator("#plot-compare .xtitle", has_text="samples").wait_for()
    assert other.page.locator("#compare-signal").input_value() == "grad_norm"
    assert other.page.locator("#compare-reference").input_value() == "2 nets/sound"
    assert [round(bound) for bound in other.page.evaluate(shown)] == pytest.approx([round(b) for b in zoomed], abs=3)
    other.page.locator("#compare-why", has_text="Comparison as a file").wait_for()
    other.page.locator("#plot-compare .nsewdrag").dblclick()
    other.until("!location.search.includes('zoom=')")


@pytest.mark.slow
def test_a_link_that_asks_for_what_there_is_none_of_shows_the_usual(visit, address):
    query = "signal=none&axis=<script>&against=none&zoom=a,b,c,d"
    one = visit()
    one.page.goto(f"{address}/compare?run=ill&run=nets/sound&{query}")
    one.page.locator("#plot-compare .xtitle", has_text="step").wait_for()
    assert one.page.locator("#compare-signal").input_value() == "loss/train"
    assert one.complaints == []


@pytest.mark.slow
def test_several_runs_are_each_held_against_the_chosen_one(visit, address, hostile_name):
    page = visit().page
    page.goto(f"{address}/compare?run=ill&run=nets/sound&run={quote(hostile_name)}")
    pairs = page.locator(".pair-told")
    pairs.filter(has_text="ill is worse than nets/sound").locator("summary").click()
    pairs.filter(has_text="ill is worse than nets/sound").get_by_role("rowheader", name="health").wait_for()
    pairs.filter(has_text=f"Neither ill nor {hostile_name} is worse").wait_for()


def test_the_comparison_comes_as_a_file(compared):
    with compared.page.expect_download() as loaded:
        compared.page.locator("#compare-why").get_by_role("link", name="Markdown").click()
    assert loaded.value.suggested_filename == "ill-and-nets-sound.md"
    assert "run is worse" in loaded.value.path().read_text()


def test_the_shown_curves_come_as_a_picture(compared):
    with compared.page.expect_download() as loaded:
        compared.page.get_by_role("button", name="PNG", exact=True).click()
    assert loaded.value.suggested_filename == "compare.png"
    picture = loaded.value.path().read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20]) == 2400  # pixels wide
    assert len(picture) > 20_000  # more than an empty sheet


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
    page = visit().page
    page.goto(f"{address}/compare?run={quote(hostile_name)}&run=ill")
    page.locator(".compare-run", has_text="onerror").wait_for()
    page.locator("#plot-compare .trace").first.wait_for()
    assert page.evaluate("window.hacked") is None


@pytest.mark.slow  # another page to open
def test_it_fits_a_telephone(visit, address):
    page = visit(width=390).page
    page.goto(f"{address}/compare?run=ill&run=nets/sound")
    page.locator("#compare-settings table").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
