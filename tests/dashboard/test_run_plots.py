"""What a person does with a run's plots: zooms, shares the address, finds a finding, reads what is said."""

import time

import numpy as np
import pytest

from diagnose.dashboard import addresses
from diagnose.dashboard.view import view_of
from diagnose.logs.writing import EventFile

STEPS = "document.querySelector('#plot-{0} .js-plotly-plot')?._fullLayout?.xaxis.range"
DRAWN = "document.querySelector('#plot-{0} .js-plotly-plot').calcdata.flat().length"


def _open(one, address, query):
    one.page.goto(f"{address}/run?{query}")
    one.page.locator("#plot-loss .scatterlayer .trace").first.wait_for()
    return one.page


def _drag(page, plot, first, last):
    page.evaluate(f"document.querySelector('#plot-{plot}').scrollIntoView({{block: 'center'}})")
    box = page.locator(f"#plot-{plot} .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + first * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + last * box["width"], box["y"] + box["height"] / 2 + 5, steps=4)
    page.mouse.up()


def test_a_view_lists_names_whatever_characters_they_hold():
    view = view_of({"signals": ["acc,top5", "", "acc,top5"], "open": ["a.b", "c,d"], "window": ["1-2"], "axis": "log"})
    assert (view.signals, view.opened, view.window, view.axis) == (("acc,top5",), {"a.b", "c,d"}, None, "log")
    assert addresses.listed("?open=a,b&open=c&name=x", ["open", "signals"]) == {"open": ["a,b", "c"], "signals": []}


@pytest.fixture(scope="module")
def long(tmp_path_factory, start):
    """A run of 30,000 noisy steps with one spike, a NaN gap, and a signal of its own."""
    root = tmp_path_factory.mktemp("long")
    noise = np.random.default_rng(0).normal(size=30_000)
    with EventFile(root / "run") as log:
        for step in range(30_000):
            loss = 40.0 if step == 20_321 else 2 + 0.2 * noise[step]
            scalars = [("loss/train", loss), ("grad_norm", 1 + 0.1 * abs(noise[step])), ("my/own,k=1", float(step % 7))]
            log.write_step(step, time.time(), scalars, {})
    return start(root)


def test_a_zoom_refines_the_curve_and_is_linked_to_the_other_plots_and_the_address(visit, long):
    one = visit()
    page = _open(one, long, "name=run")
    one.until(f"{DRAWN.format('loss')} < 10000")
    page.get_by_text("the lowest and the highest of each pixel are drawn").wait_for()
    _drag(page, "loss", 0.66, 0.69)
    one.until("location.search.includes('window=')")
    first, last = (int(step) for step in page.evaluate("new URLSearchParams(location.search).get('window')").split("-"))
    one.until(f"Math.abs({STEPS.format('grad-norm')}[0] - {first}) < 1")
    assert page.evaluate(STEPS.format("grad-norm")) == pytest.approx([first, last])
    one.until(
        "document.querySelector('#plot-loss .js-plotly-plot').calcdata[0]"
        f".filter(({{x}}) => x >= {first} && x <= {last}).length === {last - first + 1}"
    )
    page.get_by_text("30,000 logged values are shown").wait_for()


@pytest.mark.slow  # another page to open
def test_a_spike_of_one_step_is_drawn_although_most_values_are_not(visit, long):
    one = visit()
    _open(one, long, "name=run")
    one.until(
        "document.querySelector('#plot-loss .js-plotly-plot').calcdata[0].some(({x, y}) => x === 20321 && y === 40)"
    )


@pytest.mark.slow  # another page to open
def test_a_link_brings_back_zoom_axis_and_smoothing(visit, long):
    one = visit()
    page = _open(one, long, "name=run&window=1000-2000&axis=log&smooth=51")
    one.until(f"{STEPS.format('loss')}?.[0] === 1000 && {STEPS.format('loss')}[1] === 2000")
    assert page.evaluate("document.querySelector('#plot-loss .js-plotly-plot')._fullLayout.yaxis.type") == "log"
    page.get_by_text("the bold line is the running median of 51 values, the faint one what was logged").wait_for()
    assert page.get_by_label("First step shown").input_value() == "1000"
    page.get_by_text("Linear", exact=True).click()
    one.until("document.querySelector('#plot-loss .js-plotly-plot')._fullLayout.yaxis.type === 'linear'")
    one.until("location.search.includes('axis=linear') && location.search.includes('window=1000-2000')")


@pytest.mark.slow  # another page to open
def test_steps_are_chosen_by_the_keyboard_alone(visit, long):
    one = visit()
    page = _open(one, long, "name=run")
    page.get_by_label("First step shown").fill("100")
    page.get_by_label("Last step shown").fill("300")
    page.keyboard.press("Enter")
    one.until(f"{STEPS.format('loss')}[0] === 100 && {STEPS.format('loss')}[1] === 300")


@pytest.mark.slow  # another page to open
def test_a_query_that_makes_no_sense_shows_the_whole_run(visit, long):
    one = visit()
    _open(one, long, "name=run&window=9-3&axis=<b>&smooth=7&depth=x&signals=nothing&open=<img src=x>")
    one.until(f"{STEPS.format('loss')}[1] > 29000")


@pytest.mark.slow  # another page to open
def test_any_signal_of_the_log_can_be_drawn(visit, long):
    one = visit()
    page = _open(one, long, "name=run&signals=my/own,k=1")  # a comma is part of a name
    page.locator("#plot-other .scatterlayer .trace").first.wait_for()


def test_the_pointer_marks_its_step_on_the_other_plots(ill):
    page = ill.page
    page.locator("#plot-layer-grad-norm .main-svg").first.wait_for()
    page.locator("#plot-loss .nsewdrag").first.hover()
    marker = page.locator(".graph-layer-grad-norm .step-marker")
    marker.wait_for()
    assert abs(int(marker.get_attribute("data-step")) - 200) < 10
    page.mouse.move(0, 0)
    marker.wait_for(state="hidden")


def test_a_click_on_a_shaded_window_leads_to_its_finding(visit, address):
    one = visit()
    page = _open(one, address, "name=ill")
    found = page.locator(".finding", has_text="Divergence")
    found.wait_for()
    page.locator("#plot-loss .annotation-text", has_text="Divergence").wait_for()
    page.evaluate("document.querySelector('#plot-loss').scrollIntoView({block: 'center'})")
    box = page.locator("#plot-loss .nsewdrag").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2)
    one.until("document.activeElement.classList.contains('finding')")
    assert "found" in found.get_attribute("class")


def test_the_recommended_schedule_stands_beside_the_one_that_ran(ill):
    page = ill.page
    told = page.locator(".schedule-told").inner_text()
    assert "Ran: constant at 0.4." in told and "Recommended: a warmup of" in told
    page.locator("#plot-lr .legendtext", has_text="recommended").wait_for()


ANSWER = """({view, asked_s, told}) => {
  const cards = [...document.querySelectorAll("[id^=plot-][id$=-card]")];
  const styles = cards.map((card) => [card.id.slice(5, -5), {display: card.style.display}]);
  const sent = {view, figures: {}, styles: Object.fromEntries(styles), caption: told, drawn: {asked_s}};
  window.dash_clientside.set_props("run-plots", {data: sent});
}"""


def test_figures_that_a_newer_zoom_or_a_newer_answer_overtook_are_dropped(ill):
    caption = ill.page.locator("#plots-caption")
    before = caption.inner_text()
    later = time.time() + 60
    ill.page.evaluate(ANSWER, {"view": {"window": "3-9"}, "asked_s": later, "told": "of another zoom"})
    ill.page.evaluate(ANSWER, {"view": {}, "asked_s": 1.0, "told": "asked for long ago"})
    ill.page.wait_for_timeout(300)
    assert caption.inner_text() == before
    ill.page.evaluate(ANSWER, {"view": {}, "asked_s": later, "told": "of this zoom"})
    ill.until("document.querySelector('#plots-caption').textContent === 'of this zoom'")
    ill.page.evaluate(ANSWER, {"view": {}, "asked_s": later, "told": before})


def test_the_plots_buttons_are_drawings_and_no_black_boxes(ill):
    drawn = ill.page.locator(".modebar-btn svg")
    assert drawn.count() > 0
    grounds = drawn.evaluate_all("all => all.map((one) => getComputedStyle(one).backgroundColor)")
    assert set(grounds) == {"rgba(0, 0, 0, 0)"}


@pytest.mark.slow  # another page to open
def test_two_hundred_layers_are_grouped_and_a_group_unfolds(visit, start, tmp_path, write_layers):
    write_layers(tmp_path / "deep")
    one = visit()
    page = _open(one, start(tmp_path), "name=deep")
    labels = page.locator("#plot-layer-grad-norm .ytick text")
    labels.first.wait_for()
    assert labels.count() <= 24
    page.evaluate("document.querySelector('#plot-layer-grad-norm').scrollIntoView({block: 'center'})")
    box = labels.filter(has_text="blocks.1.part").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    labels.filter(has_text="▾").first.wait_for()
    one.until("new URLSearchParams(location.search).get('open') === 'blocks.1.part'")
    page.locator("#open").focus()  # and now by keys alone
    page.keyboard.type("blocks.3")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    one.until("String(new URLSearchParams(location.search).getAll('open')) === 'blocks.1.part,blocks.3.part'")
    labels.filter(has_text="▾ blocks.3.part").first.wait_for()
    page.keyboard.press("Backspace")
    one.until("String(new URLSearchParams(location.search).getAll('open')) === 'blocks.1.part'")


def test_the_black_box_tells_where_a_nan_began(visit, start, fixture_run):
    one = visit()
    page = one.page
    page.goto(f"{start(fixture_run('lr_far_too_high-autoencoder-0'))}/run?name=lr_far_too_high-autoencoder-0")
    card = page.locator(".card", has_text="Around the first NaN")
    card.wait_for()
    assert "in the backward pass, at step 3" in card.inner_text()
    page.locator("#plot-box-layers .heatmaplayer image").first.wait_for()
    page.locator("#plot-box-curves .scatterlayer .trace").first.wait_for()
