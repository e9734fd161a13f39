"""The HTML report in a real browser: it explains, it works offline, and it obeys no log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import diagnose
from diagnose.diagnosis import Diagnosis
from diagnose.run import LayerSeries, Run, Series, Setup


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
    assert "lr 8 → 0.03" in " ".join(lead.locator(".dose").inner_text().split())
    assert lead.bounding_box()["y"] < 800
    assert "Divergence" in page.locator("#loss").inner_text()


def test_every_curve_and_heat_map_is_drawn_without_asking_anyone(demo_runs, open_report):
    one = open_report(diagnose.examine(demo_runs["vanishing"]))
    assert one.page.locator(".plot").count() >= 6
    assert one.page.locator(".plot:not(:has(.main-svg))").count() == 0
    assert one.page.locator(".modebar-btn").count() and not one.page.locator('[data-title^="Share"]').count()
    assert [url for url in one.requested if not url.startswith(("file:", "data:", "blob:"))] == []
    assert one.complaints == []


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "dark"),
        pytest.param(390, "light", marks=pytest.mark.slow),
        pytest.param(1280, "light", marks=pytest.mark.slow),
        pytest.param(1280, "dark", marks=pytest.mark.slow),
    ],
)
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


def test_a_log_without_a_set_up_has_a_page_too(chained, open_report):
    page = open_report(chained).page
    assert "runs/foreign · 3 steps" in page.locator("header").inner_text()
    assert page.locator(".move").count() == 2 and page.locator(".change.coupled").count() == 2


def test_a_set_up_of_the_wrong_form_is_shown_as_far_as_it_goes():
    setup = Setup(optimizer={"groups": "none", "type": 3}, model={"type": None}, scheduler={"step": [1, {"a": 2}]})
    run = Run("r", setup, scalars={"loss/train": Series(np.array([1]), np.ones(1), np.zeros(1))})
    assert "Scheduler" in Diagnosis(run).to_html()


def test_many_findings_do_not_squeeze_the_curve(ill, open_report):
    one = ill()
    page = open_report(replace(one, findings=one.findings * 8)).page
    assert page.evaluate("document.getElementById('loss')._fullLayout._size.h") > 200


@pytest.mark.slow  # another page to open
def test_paper_gets_the_light_page_whatever_the_screen_has(demo_runs, open_report):
    page = open_report(diagnose.examine(demo_runs["overfitting"]), scheme="dark").page
    ink = "document.getElementById('loss').layout.font.color"
    on_screen = page.evaluate(ink)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(ink) != on_screen
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(ink) == on_screen
    assert page.locator("details[open]").count() == 0


def test_a_layer_signal_that_is_zero_throughout_is_said_and_not_drawn(ill):
    layers = LayerSeries(np.arange(3), np.zeros((3, 2), "f4"))
    one = ill()
    page = replace(one, run=replace(one.run, layer_signals={"layers/nonfinite": layers})).to_html()
    assert "NaN and infinite values in each layer&#39;s output: never above 0." in page
    assert 'id="map-' not in page


def test_a_notebook_shows_the_run_with_its_signals_and_obeys_no_log(hostile):
    recorded = Path(__file__).parents[3] / "fixtures" / "runs" / "plain-classification-0"
    shown = diagnose.load(recorded)._repr_html_()
    assert "plain-classification-0" in shown and "optimizer: SGD" in shown
    assert "<code>loss/train</code></td><td>300</td>" in shown and "<code>layers/grad_norm</code>" in shown
    assert "<script" not in shown
    evil = hostile.run._repr_html_()
    assert "&lt;img" in evil and "<img" not in evil and "\x1b" not in evil and "\u202e" not in evil
