"""How soon the dashboard shows what one came for, TensorBoard beside it: python benchmarks/dashboard.py [-o out]

In Chromium, from the address to what a person sees. Cold: a server just started, that has never seen these runs, and
a browser that has loaded nothing. Next start: a server just started, with what an earlier one has kept in the cache.
Warm: the same server asked again by the same browser. TensorBoard is given the same folders. Memory is the most that
the server's process has held.
--only sweep long many live runs a part; --runs, --steps and --many change its size. -o writes dashboard.md and .json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dash_ag_grid
import numpy as np
import tables
import tensorboard
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from diagnose.logs.writing import EventFile

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome") or "/usr/bin/chromium"
FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TAGS: Final = 20
PATIENCE_S: Final = 120.0
ZOOM_PATIENCE_S: Final = 5.0
MB: Final = 1e6

A_ROW: Final = "!!document.querySelector('#runs-grid .ag-row .health:not(.health-reading)')"
ALL_READ: Final = f"{A_ROW} && !document.querySelector('#runs-health .health-reading')"
A_CURVE: Final = "!!document.querySelector('#plot-loss .scatterlayer .trace path')"
# What of the loss graph changes when it is drawn from other points of the run.
POINTS: Final = (
    "(() => { const curve = document.querySelector('#plot-loss .js-plotly-plot')?._fullData?.[0];"
    " return curve ? [curve.x.length, curve.x[0], curve.x[curve.x.length - 1]].join() : ''; })()"
)
LAST_STEP: Final = "document.querySelector('#plot-loss .js-plotly-plot')._fullData[0].x.at(-1)"
# TensorBoard's cards are web components: a line of its first chart.
A_CHART: Final = (
    "[...document.querySelectorAll('line-chart, vz-line-chart2, tb-line-chart')]"
    ".some((chart) => (chart.shadowRoot || chart).querySelector('svg path, canvas'))"
)


@dataclass(frozen=True)
class Wait:
    """How long a person waits for one thing; `seconds` is None where it did not come."""

    runs: str
    tool: str
    until: str
    seconds: float | None
    target_s: float | None = None
    memory_mb: float | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=sorted(PARTS), default=sorted(PARTS))
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--no-tensorboard", action="store_true")
    parser.add_argument("-o", "--output", type=Path, metavar="DIRECTORY")
    options = parser.parse_args()
    waits: list[Wait] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for part in options.only:
            for wait in PARTS[part](browser, Path(folder) / part, options):
                waits.append(wait)
                print(*_row(wait), sep=" | ", flush=True)
        browser.close()
    heads = ("runs", "tool", "until", "seconds", "target", "server's memory")
    table = tables.markdown(heads, map(_row, waits))
    print(f"\n{tables.machine()} dash-ag-grid {dash_ag_grid.__version__}, {_tensorboard()}.\n\n{table}")
    if options.output:
        tables.write(options.output, "dashboard", table, waits)


# --- the parts ----------------------------------------------------------------------------------------


def sweep(browser: Browser, root: Path, options: argparse.Namespace) -> Iterator[Wait]:
    """Runs of 20 tags by 1,000 steps."""
    told = f"{options.runs:,} runs, {TAGS} tags, 1,000 steps"
    write_sweep(root, options.runs, 1_000, TAGS)
    yield from _list_of_runs(browser, root, told, cold_s=3.0, warm_s=1.0)
    if not options.no_tensorboard:
        yield from _in_tensorboard(browser, root, told)


def many(browser: Browser, root: Path, options: argparse.Namespace) -> Iterator[Wait]:
    """Ten thousand short runs."""
    told = f"{options.many:,} runs, 2 tags, 50 steps"
    write_sweep(root, options.many, 50, 2)
    yield from _list_of_runs(browser, root, told, cold_s=None, warm_s=3.0)
    if not options.no_tensorboard:
        yield from _in_tensorboard(browser, root, told)


def long(browser: Browser, root: Path, options: argparse.Namespace) -> Iterator[Wait]:
    """One run of a million steps."""
    told = f"one run, {TAGS} tags, {options.steps:,} steps"
    write_sweep(root, 1, options.steps, TAGS)
    with ours(root, root.parent / "long-cache") as server, _context(browser) as context:
        page = context.new_page()
        opened = f"{server.address}/run?name=run00000"
        yield Wait(told, "diagnose", "loss curve, cold", _seconds(page, opened, A_CURVE))
        yield Wait(told, "diagnose", "loss curve, warm", _seconds(page, opened, A_CURVE), 1.5, server.memory_mb())
        yield Wait(told, "diagnose", "finer curve after zooming in", _zoom(page), 0.3, server.memory_mb())
    if not options.no_tensorboard:
        yield from _in_tensorboard(browser, root, told)


def live(browser: Browser, root: Path, _: argparse.Namespace) -> Iterator[Wait]:
    """A run that goes on: from a flush of its log until its open page has drawn the new step."""
    with EventFile(root / "run") as events, ours(root, root.parent / "live-cache") as server:
        _go_on(events, range(500))
        with _context(browser) as context:
            page = context.new_page()
            _seconds(page, f"{server.address}/run?name=run", A_CURVE)
            waits = []
            for first in range(500, 600, 10):
                page.wait_for_timeout(130 * (first // 10 % 10))  # at any time between two looks
                _go_on(events, range(first, first + 10))
                begun = time.perf_counter()
                drawn = _until(page, f"{LAST_STEP} === {first + 9}", PATIENCE_S)
                waits.append(time.perf_counter() - begun if drawn else PATIENCE_S)
        told = "one run that goes on, 500 steps"
        yield Wait(told, "diagnose", "new step after its flush, median of ten", float(np.median(waits)), 2.0)
        yield Wait(told, "diagnose", "new step after its flush, slowest of ten", max(waits), None, server.memory_mb())


def _go_on(events: EventFile, steps: range) -> None:
    for step in steps:
        events.write_step(step, time.time(), [("loss/train", float(np.exp(-step / 200)))], {})
    events.flush()


PARTS: Final[dict[str, Callable[[Browser, Path, argparse.Namespace], Iterator[Wait]]]] = {
    "sweep": sweep,
    "long": long,
    "many": many,
    "live": live,
}


def _list_of_runs(browser: Browser, root: Path, told: str, cold_s: float | None, warm_s: float) -> Iterator[Wait]:
    cache = root.parent / f"{root.name}-cache"
    with ours(root, cache) as server, _context(browser) as context:
        page = context.new_page()
        begun = time.perf_counter()
        yield Wait(told, "diagnose", "runs, cold", _seconds(page, server.address, A_ROW), cold_s)
        _until(page, ALL_READ, 20 * PATIENCE_S)
        yield Wait(told, "diagnose", "all examined, cold", time.perf_counter() - begun, None, server.memory_mb())
        warm = min((_seconds(page, server.address, ALL_READ) or PATIENCE_S) for _ in range(3))
        yield Wait(told, "diagnose", "all runs, warm", warm, warm_s, server.memory_mb())
    with ours(root, cache) as server, _context(browser) as context:
        page = context.new_page()
        seconds = _seconds(page, server.address, ALL_READ)
        yield Wait(told, "diagnose", "all runs, next start", seconds, None, server.memory_mb())


def _in_tensorboard(browser: Browser, root: Path, told: str) -> Iterator[Wait]:
    with theirs(root) as server, _context(browser) as context:
        page = context.new_page()
        opened = f"{server.address}/#timeseries"
        yield Wait(told, "TensorBoard", "first chart, cold", _seconds(page, opened, A_CHART))
        page.goto("about:blank")
        seconds = _seconds(page, opened, A_CHART)
        yield Wait(told, "TensorBoard", "first chart, warm", seconds, None, server.memory_mb())


# --- what a person waits for --------------------------------------------------------------------------


def _seconds(page: Page, address: str, condition: str) -> float | None:
    """Seconds from opening the address until the condition holds, None where it never does."""
    begun = time.perf_counter()
    page.goto(address, wait_until="commit", timeout=PATIENCE_S * 1000)
    return time.perf_counter() - begun if _until(page, condition, PATIENCE_S) else None


def _until(page: Page, condition: str, patience_s: float) -> bool:
    # Not `wait_for_function`, which needs eval: the pages forbid that.
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            if page.evaluate(condition):
                return True
        except Error:  # between two documents
            pass
        time.sleep(0.01)
    return False


def _zoom(page: Page) -> float | None:
    """Drag over a tenth of the loss graph; seconds until it is drawn from other points, None where it is not."""
    page.wait_for_timeout(1000)
    area = page.locator("#plot-loss .nsewdrag").first.bounding_box()
    if area is None:
        return None
    before, middle = page.evaluate(POINTS), area["y"] + area["height"] / 2
    page.mouse.move(area["x"] + 0.4 * area["width"], middle)
    page.mouse.down()
    page.mouse.move(area["x"] + 0.5 * area["width"], middle, steps=4)
    page.mouse.up()
    begun = time.perf_counter()
    changed = _until(page, f"{POINTS} !== {json.dumps(before)}", ZOOM_PATIENCE_S)
    return time.perf_counter() - begun if changed else None


# --- servers and browsers -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """A server that answers, and its process."""

    address: str
    process: subprocess.Popen[str]

    def memory_mb(self) -> float | None:
        """The most that it has held so far; None where the system does not tell."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return None
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(peak[1]) * 1024 / MB if peak else None


def ours(root: Path, cache: Path) -> Any:
    """The dashboard on a folder, with that cache."""
    command = [sys.executable, "-m", "diagnose.cli", "dashboard", str(root), "--port"]
    return _served(command, os.environ | {"DIAGNOSE_CACHE": str(cache)})


def theirs(root: Path) -> Any:
    """TensorBoard on a folder."""
    return _served([sys.executable, "-m", "tensorboard.main", "--logdir", str(root), "--port"], dict(os.environ))


@contextmanager
def _served(command: Sequence[str], environment: dict[str, str]) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    silent = subprocess.DEVNULL
    process = subprocess.Popen([*command, str(port)], env=environment, stdout=silent, stderr=silent, text=True)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(command)} does not answer.")
            time.sleep(0.05)
        yield Server(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def _context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    try:
        yield context
    finally:
        context.close()


# --- runs ---------------------------------------------------------------------------------------------


def write_sweep(root: Path, runs: int, steps: int, tags: int) -> None:
    """Runs of a sweep over rate and optimizer: a falling loss and other signals; a third of them diverge."""
    noise = np.random.default_rng(0)
    share = np.linspace(0, 1, steps)
    for number in range(runs):
        lr = (0.03, 0.1, 0.4)[number % 3]
        loss = 2.3 * np.exp(-3 * share) + 0.2 + 0.02 * noise.normal(size=steps)
        if lr == 0.4:
            loss = np.where(share > 0.5, np.minimum(2 * np.exp(30 * (share - 0.5)), 80), loss)
        with EventFile(root / f"run{number:05d}") as events:
            events.write_setup(_setup(number, lr, steps), 1.7e9)
            for step, value in enumerate(loss.tolist()):
                others = [(f"metric_{tag}", value + tag) for tag in range(tags - 1)]
                events.write_step(step, 1.7e9 + step, [("loss/train", value), *others], {})


def _setup(number: int, lr: float, steps: int) -> str:
    optimizer = {"type": ("SGD", "AdamW")[number % 2], "groups": [{"lr": lr, "momentum": 0.9}]}
    config = {"batch_size": 128, "steps": steps, "seed": number, "augmentation": ("none", "flip")[number % 5 > 2]}
    return json.dumps({"schema": 1, "config": config, "optimizer": optimizer})


def _row(wait: Wait) -> list[str]:
    return [
        wait.runs,
        wait.tool,
        wait.until,
        "–" if wait.seconds is None else f"{wait.seconds:.2f}",
        "" if wait.target_s is None else f"≤ {wait.target_s:g}",
        "" if wait.memory_mb is None else f"{wait.memory_mb:,.0f} MB",
    ]


def _tensorboard() -> str:
    return f"TensorBoard {tensorboard.__version__}"


if __name__ == "__main__":
    main()
