"""A run's open page while the run goes on: what comes, and what must not be disturbed by it."""

from __future__ import annotations

import math
import time

import pytest

from diagnose.logs.writing import EventFile

pytestmark = pytest.mark.slow  # opens many pages

SHOWN = "document.querySelector('#plot-loss .js-plotly-plot').calcdata.flat()"


@pytest.fixture
def live(visit, start, tmp_path):
    """The page of a run of 200 steps, and its open log."""
    with EventFile(tmp_path / "live") as log:
        _append(log, 0, 200)
        one = visit()
        one.page.goto(f"{start(tmp_path)}/run?name=live")
        one.page.locator("#plot-loss .main-svg").first.wait_for()
        one.until(f"{SHOWN}.some(point => point.x === 199)")
        yield one, log


def _append(log: EventFile, first: int, count: int) -> None:
    for step in range(first, first + count):
        log.write_step(step, time.time(), [("loss/train", 2 * math.exp(-step / 200) + 0.1)], {})
    log.flush()


def test_new_points_come_by_themselves_and_the_hover_under_a_resting_pointer_stays(live):
    one, log = live
    page = one.page
    box = page.locator("#plot-loss .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    label = page.locator("#plot-loss .hoverlayer .legend, #plot-loss .hoverlayer .hovertext").first
    label.wait_for()
    _append(log, 200, 100)
    one.until(f"{SHOWN}.some(point => point.x === 299)")
    label.wait_for()
    page.wait_for_timeout(300)
    assert label.is_visible()


def test_a_note_takes_no_more_than_its_limit(live):
    from diagnose.dashboard.notes import MOST_CHARACTERS

    one, _ = live
    field = one.page.get_by_label("Your notes on this run")
    field.focus()
    one.page.keyboard.insert_text("x" * (MOST_CHARACTERS + 9))
    assert len(field.input_value()) == MOST_CHARACTERS
