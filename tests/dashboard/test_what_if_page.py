"""The what-if page, in a real browser."""

from __future__ import annotations

import pytest

from diagnose.dashboard.fields import FIELDS, problem


def _box(page, label):
    return page.get_by_label(label, exact=True)


def test_a_first_visit_shows_an_example_with_what_follows(visit, address):
    page = visit().page
    page.goto(f"{address}/what-if")
    page.locator("#what-if-answer", has_text="Raise the learning rate").wait_for()
    page.locator("#plot-schedule .scatterlayer .trace").nth(1).wait_for()
    page.locator("#plot-couplings .scatterlayer .trace").first.wait_for()


def test_a_changed_field_is_answered_and_kept_in_the_address(visit, address):
    page = visit().page
    page.goto(f"{address}/what-if?lr=0.1&batch_size=128&optimizer=SGD&new.batch_size=256")
    page.locator("#what-if-answer .after", has_text="0.2").wait_for()
    _box(page, "batch_size to be").fill("512")
    page.locator("#what-if-answer .after", has_text="0.4").wait_for()
    page.wait_for_function("location.search.includes('new.batch_size=512')")
    page.reload()
    page.locator("#what-if-answer .after", has_text="0.4").wait_for()


def test_what_is_no_setting_is_answered_in_words(visit, address):
    page = visit().page
    page.goto(f"{address}/what-if?lr=0.1")
    page.locator("#what-if-answer", has_text="Fill in what a setting is to be").wait_for()


@pytest.mark.slow  # another page to open
def test_a_slider_moves_its_field_and_a_field_its_slider(visit, address):
    one = visit()
    page = one.page
    page.goto(f"{address}/what-if?lr=0.1&batch_size=128&optimizer=SGD")
    slider = page.get_by_role("slider", name="batch_size to be")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.locator("#what-if-answer .after", has_text="0.4").wait_for()
    assert _box(page, "batch_size to be").input_value() == "512"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.locator("#what-if-answer", has_text="Fill in what a setting is to be").wait_for()
    assert _box(page, "batch_size to be").input_value() == ""
    before = slider.get_attribute("aria-valuenow")
    _box(page, "batch_size to be").fill("1000")  # between two stops: the field keeps it
    page.locator("#what-if-answer .after", has_text="1,000").wait_for()
    one.until(f"document.querySelector('[role=slider][aria-label^=batch_size]').ariaValueNow !== '{before}'")
    assert _box(page, "batch_size to be").input_value() == "1000"
    page.wait_for_function("location.search.includes('new.batch_size=1000')")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("batch_size", "-3", "at least 1 is wanted"),
        ("batch_size", "many", "a number is wanted"),
        ("epochs", "1.5", "a whole number is wanted"),
        ("lr", "0", "more than 0 is wanted"),
        ("momentum", "7", "at most 1 is wanted"),
        ("lr", "inf", "a finite number is wanted"),
        ("lr", "NaN", "a finite number is wanted"),
        ("weight_decay", "1e999", "a finite number is wanted"),
        ("max_norm", "none", ""),
        ("lr", " 1e-3 ", ""),
        ("scheduler", "<b>", ""),
    ],
)
def test_what_cannot_be_meant_is_told_from_what_can(name, text, told):
    assert problem(FIELDS[name], text) == told


def test_what_cannot_be_meant_is_said_at_its_field(asking):
    page = asking.page
    _box(page, "batch_size to be").fill("many")
    page.locator("#what-if-answer", has_text="Nothing follows yet").wait_for()
    wrong = page.locator("input[aria-invalid=true]")
    assert wrong.get_attribute("aria-label") == "batch_size to be"
    assert page.locator(f"[id='{wrong.get_attribute('aria-describedby')}']").inner_text() == "a number is wanted"
    _box(page, "batch_size to be").fill("256")
    page.locator("#what-if-answer .after", has_text="0.2").wait_for()


@pytest.fixture(scope="module")
def asking(open_visit, address):
    """The page with a doubled batch."""
    one = open_visit()
    one.page.goto(
        f"{address}/what-if?lr=0.1&batch_size=128&optimizer=SGD&new.batch_size=256&dataset_size=5000&epochs=9"
    )
    one.page.locator("#what-if-answer .after", has_text="0.2").wait_for()
    yield one
    assert one.complaints == []
    one.leave()


def test_sources_open_what_the_documents_claim(asking):
    rate = asking.page.locator("#what-if-answer .change", has_text="Raise the learning rate").last
    rate.locator("summary", has_text="Sources: K07").click()
    rate.locator("dd", has_text="k times the samples, k times the rate").wait_for()


def test_the_answer_is_taken_along_as_lines_to_paste_and_as_files(asking):
    page = asking.page
    page.locator("#what-if-answer summary", has_text="Copy as Python").click()
    assert page.locator("#what-if-answer pre", has_text="'lr': 0.2").first.is_visible()
    with page.expect_download() as loaded:
        page.locator("#what-if-answer").get_by_role("link", name="JSON").click()
    assert loaded.value.suggested_filename == "what-if.json"
    assert '"setting": "lr"' in loaded.value.path().read_text()


def test_the_graph_shows_what_was_pulled_along_which_edge(asking):
    asking.until("document.querySelectorAll('#plot-couplings .annotation-arrow-g').length === 2")
    bold = (
        "[...document.querySelectorAll('#plot-couplings .annotation-text tspan[style*=bold]')].map(e => e.textContent)"
    )
    assert sorted(asking.page.evaluate(bold)) == ["batch_size", "lr", "warmup_steps"]


def test_both_plots_come_as_pictures(asking):
    for name in ("schedule", "couplings"):
        with asking.page.expect_download() as loaded:
            asking.page.locator(f"[data-png=plot-{name}]").click()
        assert loaded.value.suggested_filename == f"{name}.png"
        picture = loaded.value.path().read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 20_000  # more than an empty sheet


@pytest.mark.slow
def test_the_schedule_is_drawn_as_its_name_says_and_told_in_words(visit, address):
    page = visit().page
    query = "lr=0.1&batch_size=100&dataset_size=1000&epochs=10&warmup_steps=10&scheduler=StepLR&new.lr=0.2"
    page.goto(f"{address}/what-if?{query}")
    page.locator("#what-if-shapes", has_text="A linear rise over the warmup, then a tenth after each third.").wait_for()
    page.locator("#plot-schedule .scatterlayer .trace").nth(1).wait_for()
    x, y = page.evaluate(
        "(({x, y}) => [[...x], [...y]])(document.querySelector('#plot-schedule .js-plotly-plot')._fullData[0])"
    )
    rates = dict(zip(x, y, strict=True))
    assert max(y) == rates[10] == 0.1
    assert y[-1] == pytest.approx(0.001)


@pytest.mark.slow  # another page to open
def test_odd_values_are_only_text(visit, address):
    page = visit().page
    page.goto(f"{address}/what-if?lr=%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E&new.optimizer=%3Cb%3EAdam")
    page.locator("#what-if-answer", has_text="Nothing follows yet").wait_for()
    _box(page, "lr now").fill("0.1")
    page.locator("#what-if-answer", has_text="<b>Adam").wait_for()
    assert page.evaluate("window.hacked") is None


@pytest.mark.slow  # another page to open
def test_it_fits_a_telephone(visit, address):
    page = visit(width=390).page
    page.goto(f"{address}/what-if")
    page.locator("#what-if-answer .after").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
