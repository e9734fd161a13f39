"""Whatever a stranger's log says is text on our pages, with the policy that forbids scripts switched off as well."""

from __future__ import annotations

import json
import time
from urllib.parse import quote

import numpy as np
import pytest

from diagnose.dashboard.server import ASSETS
from diagnose.logs.writing import EventFile

SCRIPTS = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<svg onload=alert(1)>",
    "\"><iframe src='javascript:alert(1)'></iframe>",
    "<a href='javascript:alert(1)'>link</a>",
    "[link](javascript:alert(1)) ![x](x)",
    "{{constructor.constructor('alert(1)')()}}",
    "<b id=bold-from-a-log>bold</b>",
]
ALL = " ".join(SCRIPTS)
INJECTED = (  # what a page has only if markup of ours was obeyed
    "[...document.querySelectorAll('img[src=x], #bold-from-a-log, iframe, svg[onload], [onerror], [onload],"
    ' a[href^="javascript:" i]\')].map((node) => node.outerHTML)'
    ".concat([...document.querySelectorAll('script')].filter((one) =>"
    " one.type !== 'application/json' && one.textContent.includes('alert(1)'))"
    ".map((node) => node.outerHTML))"
)


def write(folder, mark):
    """A run that diverges, of which every name and every value is hostile; `mark` tells two of them apart."""
    names = [f"{text} {mark}" for text in SCRIPTS]
    setup = {
        "schema": 1,
        "config": {"batch_size": 128, "epochs": 10, ALL: ALL, "task": ALL, "dataset_version": names[0], "seed": mark},
        "optimizer": {"type": names[2], "groups": [{"lr": 0.4, "momentum": 0.9, ALL: ALL}]},
        "scheduler": {"type": ALL, ALL: ALL},
        "environment": {"torch": ALL, "device": ALL, "script": ALL, "git_commit": ALL},
        "model": {"type": ALL, "parameters": 1234},
        "modules": dict.fromkeys(names, 3),
        "layers": [{"name": name, "type": name, "parameters": 400, "activation": name} for name in names],
    }
    with EventFile(folder) as log:
        log.write_setup(json.dumps(setup), time.time())
        for step in range(1, 201):
            loss = 2.0 if step < 100 else 2.0 * 1.1 ** (step - 100)
            scalars = {"loss/train": loss, "lr/group0": 0.4, "grad_norm": 1.0, **dict.fromkeys(names, loss)}
            layers = dict.fromkeys(("layers/grad_norm", "layers/zero_fraction"), np.full(len(names), 0.5, np.float32))
            log.write_step(step, time.time(), scalars.items(), layers if step % 10 == 0 else {})


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, start):
    """Two hostile runs: the address that serves them, and their names."""
    root = tmp_path_factory.mktemp("hostile")
    names = [ALL.replace("/", "∕")[:120] + mark for mark in "ab"]
    for name in names:
        write(root / name, name[-1])
    return start(root), names


@pytest.fixture
def open_page(browser):
    """A page without our policy, and the list of what opened or asked for things on it."""
    context = browser.new_context(bypass_csp=True, viewport={"width": 1280, "height": 2400})
    page = context.new_page()
    page.set_default_timeout(60_000)
    seen: list[str] = []
    page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    yield page, seen
    context.close()


def check(page, seen):
    page.wait_for_timeout(300)
    assert page.evaluate(INJECTED) == []
    assert seen == []


def test_the_list_and_a_runs_page_and_the_report_obey_no_markup(open_page, hostile):
    (page, seen), (address, (name, _)) = open_page, hostile
    page.goto(address)
    page.locator(".ag-row a").first.wait_for()
    page.locator(".ag-row").first.hover()
    check(page, seen)
    page.goto(f"{address}/run?name={quote(name)}&signals={quote(SCRIPTS[0])}&axis={quote(ALL)}")
    page.locator("#plot-loss .main-svg").first.wait_for(state="attached")
    page.locator("#run-setup").get_by_text("onerror").first.wait_for(state="attached")
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    check(page, seen)
    page.locator("#plot-layer-grad-norm .main-svg").first.hover()
    check(page, seen)
    report = page.request.get(f"{address}/report?name={quote(name)}&format=html").text()
    page.set_content(report)
    check(page, seen)


@pytest.mark.slow  # the same means on two more pages
def test_a_comparison_and_what_if_obey_no_markup(open_page, hostile):
    (page, seen), (address, names) = open_page, hostile
    page.goto(f"{address}/compare?" + "&".join(f"run={quote(name)}" for name in names))
    page.locator(".compare-run", has_text="onerror").first.wait_for()
    page.locator(".main-svg").first.wait_for()
    check(page, seen)
    page.goto(f"{address}/what-if?lr={quote(SCRIPTS[0])}&new.optimizer={quote(ALL)}&{quote(SCRIPTS[7])}=1")
    page.locator("#what-if-answer").wait_for()
    check(page, seen)


def test_these_eyes_would_see_it(open_page, hostile):
    (page, seen), (address, _) = open_page, hostile
    page.goto(address)
    page.locator(".ag-row a").first.wait_for()
    page.evaluate("(text) => document.querySelector('h1').innerHTML = text", ALL)
    page.wait_for_timeout(300)
    assert seen
    assert len(page.evaluate(INJECTED)) >= 4


def test_the_pages_own_scripts_put_no_markup_together(hostile):
    for script in ASSETS.rglob("*.js"):
        text = script.read_text(encoding="utf-8")
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert way not in text, f"{script.name} uses {way}"
