"""Names of runs, tags, settings and layers that are far longer than any page is wide."""

import json
import time
from urllib.parse import quote

import pytest

from diagnose.logs.writing import EventFile

pytestmark = pytest.mark.slow  # opens many pages

LONG = "lr0.0003_bs256_wd0.1_" * 11  # a folder's name has 255 letters at most
TAG = "metrics/" + "very_long_tag_" * 40


@pytest.fixture(scope="module")
def long_names(tmp_path_factory, start):
    root = tmp_path_factory.mktemp("long")
    for name in (LONG, "other"):
        told = {"schema": 1, "config": {"k" * 300: "v" * 3000}, "optimizer": {"type": "T" * 200, "groups": [{"lr": 1}]}}
        told["layers"] = [{"name": f"{'block.' * 60}{n}", "type": "Linear", "parameters": 4} for n in range(3)]
        with EventFile(root / name) as log:
            log.write_setup(json.dumps(told), time.time())
            for step in range(60):
                log.write_step(step, time.time(), [("loss/train", 2 - step / 60), (TAG, float(step % 7))], {})
    return start(root)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/", ".run-link"),
        (f"/run?name={LONG}&signals={quote(TAG)}", "#plot-other .scatterlayer .trace"),
        (f"/compare?run=other&run={LONG}&all=1&signal={quote(TAG)}", "#compare-settings table"),
    ],
    ids=["runs", "run", "compare"],
)
def test_nothing_is_pushed_out_of_the_window(visit, long_names, path, there, width):
    one = visit(width=width)
    one.page.goto(long_names + path)
    one.page.locator(there).first.wait_for()
    one.page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    one.page.wait_for_timeout(500)
    outside = one.page.evaluate(
        "[...document.querySelectorAll('h1, h2, button, a, td, th, p, .card, .graph, .health')]"
        ".filter((part) => !part.closest('.scrolls, pre, .ag-root, .menu') && part.offsetParent"
        " && part.getBoundingClientRect().right > innerWidth + 1).map((part) => part.outerHTML.slice(0, 80))"
    )
    assert outside == []
    assert one.complaints == []
