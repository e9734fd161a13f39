"""The what-if page, in a real browser."""

from __future__ import annotations


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


def test_odd_values_are_only_text(visit, address):
    page = visit().page
    page.goto(
        f"{address}/what-if?lr=%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E&new.optimizer=%3Cb%3EAdam&batch_size=-3"
    )
    page.locator("#what-if-answer", has_text="<b>Adam").wait_for()
    assert page.evaluate("window.hacked") is None


def test_it_fits_a_telephone(visit, address):
    page = visit(width=390).page
    page.goto(f"{address}/what-if")
    page.locator("#what-if-answer .after").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
