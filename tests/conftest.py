"""What all tests share: the demo's four real runs, trained once, and a real browser."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

import diagnose

pytest_plugins = ["tests.s3"]

# Before torch is loaded: sums on several threads come out a little otherwise each time, and where a test runs on every
# core threads only stand in each other's way.
os.environ["OMP_NUM_THREADS"] = "1"

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE_S = 30.0  # a loaded machine takes long to draw a page; what never comes fails a little later


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads what another has kept, nor writes to the user's cache."""
    monkeypatch.setenv("DIAGNOSE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """made_once(name, make) -> the folder that make(folder) has filled, once for all of pytest's workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder, unfinished = shared / name, shared / f"{name}.unfinished"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                shutil.rmtree(unfinished, ignore_errors=True)
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return once


@pytest.fixture(scope="session")
def demo_runs(made_once) -> dict[str, Path]:
    """The demo's runs by name: healthy, diverging, overfitting, vanishing."""
    root = made_once("demo", lambda root: list(diagnose.train_demo_runs(root, lambda name, share: None)))
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium; without one the test is skipped loudly, and fails under CI."""
    found = CHROMIUM if Path(CHROMIUM).exists() else shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        reason = f"no Chromium at {CHROMIUM} nor on PATH: the pages were NOT tested in a browser"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=found, args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


class Visit:
    """One page of the browser, with all that it asked for and complained about."""

    def __init__(self, page: Any, scheme: str, left: list[Any] | None) -> None:
        self.page, self._scheme, self._left = page, scheme, left
        self.page.set_default_timeout(PATIENCE_S * 1000)
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self._heard: dict[str, Callable[[Any], None]] = {
            "request": lambda request: self.requested.append(request.url),
            "pageerror": lambda error: self.complaints.append(str(error)),
            "console": lambda message: self.complaints.append(message.text) if message.type == "error" else None,
        }
        for event, heard in self._heard.items():
            self.page.on(event, heard)

    def leave(self) -> None:
        """Close the page; or, where others may use it, leave it blank and as it was opened."""
        if self._left is None:
            self.page.close()
            return
        for event, heard in self._heard.items():
            self.page.remove_listener(event, heard)
        self.page.unroute_all()
        self.page.emulate_media(color_scheme=self._scheme)
        if self.page.url != "about:blank":
            self.page.evaluate("location.replace('about:blank')")  # from within: elsewhere a new process would begin
            self.page.wait_for_url("about:blank")
        self._left.append(self.page)

    def until(self, expression: str) -> None:
        """Wait for a JavaScript expression to hold (playwright's own way needs eval, which our pages forbid)."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"never came true: {expression}"
            self.page.wait_for_timeout(50)


@pytest.fixture(scope="session")
def open_visit(browser: Any) -> Iterator[Callable[..., Visit]]:
    """Opens a page. Profiles are shared by width and scheme, and so are pages that were left: a page from the
    same process has the scripts of the last one compiled, which takes longer than all else.

    A `stranger` brings a page and a profile of its own, without cookies or settings.
    """
    contexts: list[Any] = []
    shared: dict[tuple[int, str], Any] = {}
    left: dict[tuple[int, str], list[Any]] = defaultdict(list)

    def new_context(width: int, scheme: str) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme))
        return contexts[-1]

    def opened(width: int = 1280, scheme: str = "light", *, stranger: bool = False) -> Visit:
        if stranger:
            return Visit(new_context(width, scheme).new_page(), scheme, None)
        if (width, scheme) not in shared:
            shared[width, scheme] = new_context(width, scheme)
        pages = left[width, scheme]
        return Visit(pages.pop() if pages else shared[width, scheme].new_page(), scheme, pages)

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def visit(open_visit: Callable[..., Visit]) -> Iterator[Callable[..., Visit]]:
    """`open_visit`, with every page left after the test."""
    visits: list[Visit] = []

    def visiting(width: int = 1280, scheme: str = "light", *, stranger: bool = False) -> Visit:
        visits.append(open_visit(width, scheme, stranger=stranger))
        return visits[-1]

    yield visiting
    for one in visits:
        one.leave()
