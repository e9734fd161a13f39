"""Takes the pictures of the dashboard, for README and manual, anew: `python docs/screenshots.py [RUNS]`.

RUNS is a folder with the demo's four runs; without it they are trained first (two minutes). Needs Chromium.
"""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import sync_playwright

import diagnose
from diagnose.dashboard.server import in_thread, make_app

IMAGES = Path(__file__).parent / "images"
MOST_BYTES = 200_000  # a README should open quickly
PATIENCE_MS = 120_000  # a loaded machine takes long to draw a page


class Shot(NamedTuple):
    """A picture: the page's address, what must be there before it is taken, and the window."""

    name: str
    path: str
    there: str
    width: int = 1280
    height: int = 860
    scheme: str = "light"


SHOTS = (
    Shot("runs", "/", ".ag-row a", height=520),
    Shot("run-ill", "/run?name=diverging", "#plot-loss .main-svg"),
    Shot("run-healthy", "/run?name=healthy", "#plot-loss .main-svg", scheme="dark"),
    Shot("compare", "/compare?run=diverging&run=healthy&run=overfitting", ".pair-told"),
    Shot("what-if", "/what-if", "#plot-couplings .annotation-arrow-g", height=1000),
    Shot("telephone", "/run?name=diverging", "#plot-loss .main-svg", 390, 844, "dark"),
)


def take(root: Path) -> None:
    """Serve the runs below `root`, and write a picture of each page."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    listener = socket.create_server(("127.0.0.1", 0))
    stop = in_thread(make_app(root), listener)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for shot in SHOTS:
            window = {"width": shot.width, "height": shot.height}
            page = browser.new_page(viewport=window, color_scheme=shot.scheme)
            page.set_default_timeout(PATIENCE_MS)
            page.goto(f"http://127.0.0.1:{listener.getsockname()[1]}{shot.path}")
            page.locator(shot.there).first.wait_for()
            page.wait_for_timeout(1500)  # the last curves come after the first
            # Whoever takes them keeps to himself where his files lie.
            page.evaluate("document.querySelector('.root').textContent = 'runs'")
            page.screenshot(path=IMAGES / f"{shot.name}.png")
            page.close()
        browser.close()
    stop()


def main() -> int:
    """Take the pictures; 1 where one has grown too large."""
    if len(sys.argv) > 1:
        take(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "demo"
            list(diagnose.train_demo_runs(root, lambda _name, _share: None))
            take(root)
    too_large = [path.name for path in IMAGES.glob("*.png") if path.stat().st_size > MOST_BYTES]
    sys.stdout.write(f"Too large: {', '.join(too_large)}\n" if too_large else f"Pictures in {IMAGES}\n")
    return 1 if too_large else 0


if __name__ == "__main__":
    sys.exit(main())
