"""The HTML report in a real browser: it explains, it works offline, and it obeys no log."""

from __future__ import annotations

import pytest

import diagnose


@pytest.fixture
def open_report(visit, tmp_path):
    """open_report(diagnosis, width, scheme) -> the visit of its page."""

    def opened(diagnosis, **how):
        page = tmp_path / "report.html"
        page.write_text(diagnosis.to_html())
        one = visit(**how)
        one.page.goto(page.as_uri())
        one.until("document.querySelectorAll('.plot .main-svg').length > 0")
        return one

    return opened


def test_the_first_screen_says_what_is_wrong_and_what_to_do(demo_runs, open_report):
    page = open_report(diagnose.examine(demo_runs["diverging"])).page
    assert page.locator(".badge").inner_text().strip().endswith("Critical")
    assert "learning rate too high" in page.locator("h1").inner_text()
    lead = page.locator(".change").first
    assert "lr 8 → 0.8" in " ".join(lead.locator(".dose").inner_text().split())
    assert lead.bounding_box()["y"] < 800
    assert "Divergence" in page.locator("#loss").inner_text()


def test_every_curve_and_heat_map_is_drawn_without_asking_anyone(demo_runs, open_report):
    one = open_report(diagnose.examine(demo_runs["vanishing"]))
    assert one.page.locator(".plot .main-svg").count() >= one.page.locator(".plot").count() == 6
    assert [url for url in one.requested if not url.startswith(("file:", "data:", "blob:"))] == []
    assert one.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_its_screen_in_light_and_dark(demo_runs, open_report, width, scheme):
    page = open_report(diagnose.examine(demo_runs["overfitting"]), width=width, scheme=scheme).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) is (scheme == "dark")


def test_nothing_from_the_log_is_obeyed(hostile, open_report):
    one = open_report(hostile)
    one.page.wait_for_timeout(300)
    assert one.page.evaluate("window.hacked") is None
    assert one.page.locator("img").count() == 0
    assert "onerror=window.hacked=1" in one.page.locator("main").inner_text()
    assert one.complaints == []


def test_a_notebook_shows_the_diagnosis_without_scripts(demo_runs, hostile):
    shown = diagnose.examine(demo_runs["diverging"])._repr_html_()
    assert "Divergence" in shown and "<script" not in shown
    assert "<img" not in hostile._repr_html_()
