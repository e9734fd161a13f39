"""Sample runs and a real server for the dashboard's tests."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diagnose.dashboard.mount import DIRECT, mounted
from diagnose.dashboard.server import in_thread, make_app
from diagnose.logs.writing import EventFile

HOSTILE = "<img src=x onerror=window.hacked=1>"

WriteRun = Callable[..., Path]
Start = Callable[..., str]


def _setup(lr: float, **config: Any) -> str:
    names = ("stem", "middle", "head")
    told = {
        "schema": 1,
        "config": {"batch_size": 128, "epochs": 10, **config},
        "optimizer": {"type": "SGD", "groups": [{"lr": lr, "momentum": 0.9}]},
        "environment": {"torch": "2.8", "device": "cpu"},
        "model": {"type": "Net", "parameters": 1234},
        "modules": {"Linear": 3},
        "layers": [{"name": name, "type": "Linear", "parameters": 400} for name in names],
    }
    return json.dumps(told)


def _losses(kind: str, steps: int) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=steps)
    share = np.linspace(0, 1, steps)
    losses = 2.3 * np.exp(-3 * share) + 0.2 + 0.02 * noise
    if kind == "diverging":
        late = share > 0.5
        losses[late] = np.minimum(2.0 * np.exp(30 * (share[late] - 0.5)), 80) * (1 + 0.05 * noise[late])
    return losses


@pytest.fixture(scope="session")
def write_run() -> WriteRun:
    def write(root: Path, name: str, kind: str = "healthy", *, steps: int = 400, **config: Any) -> Path:
        with EventFile(root / name) as log:
            lr = 0.4 if kind == "diverging" else 0.1
            log.write_setup(_setup(lr, **config), time.time())
            for step, loss in enumerate(_losses(kind, steps)):
                layers = {"layers/grad_norm": np.array([0.5, 0.7, 1.0], np.float32)} if step % 10 == 0 else {}
                scalars = {"loss/train": float(loss), "lr/group0": lr, "grad_norm": 1.0}
                log.write_step(step, time.time(), scalars.items(), layers)
        return log.path

    return write


@pytest.fixture(scope="session")
def hostile_name() -> str:
    return HOSTILE


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory, write_run: WriteRun) -> Path:
    """A diverging run, a healthy one in a sub-folder, one with a hostile name, and one that is damaged."""
    root = tmp_path_factory.mktemp("runs")
    write_run(root, "ill", "diverging")
    write_run(root, "nets/sound")
    write_run(root, HOSTILE, "diverging", note=HOSTILE)
    (root / "damaged").mkdir()
    (root / "damaged" / "events.out.tfevents.1.host").write_bytes(b"no event file" * 9)
    return root


@pytest.fixture(scope="session")
def start() -> Start:
    """Serve a folder in a thread; gives the address."""

    def started(root: Path, token: str | None = None, prefix: str | None = None) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        mount = DIRECT if prefix is None else mounted(prefix)
        in_thread(make_app(root, token, mount=mount), listener, mount)
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    return started


@pytest.fixture(scope="session")
def address(samples: Path, start: Start) -> str:
    return start(samples)


class Restarted:
    """One port, on which a server is started and ended as a test needs it."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, 0
        self._stop: Callable[[], None] | None = None

    def start(self, token: str | None = None) -> str:
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._stop = in_thread(make_app(self.root, token), listener)
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        if self._stop is not None:
            self._stop()
        self._stop = None


@pytest.fixture
def server(tmp_path: Path, write_run: WriteRun) -> Iterator[Restarted]:
    """A server of a run called `first`, to be started."""
    write_run(tmp_path, "first", steps=200)
    one = Restarted(tmp_path)
    yield one
    one.stop()


@pytest.fixture(scope="session")
def ill(open_visit: Callable[..., Any], address: str) -> Iterator[Any]:
    """The diverging run's page, opened once for the tests that only look at it."""
    one = open_visit()
    one.page.goto(f"{address}/run?name=ill")
    one.page.locator("#plot-loss .main-svg").first.wait_for()
    yield one
    one.leave()


@pytest.fixture(scope="session")
def foreign() -> Callable[[Any, str], list[str]]:
    """foreign(visit, address): what the page asked for elsewhere."""
    return lambda one, address: [url for url in one.requested if not url.startswith((address, "data:", "blob:"))]


@pytest.fixture(scope="session")
def assert_kept_here(address: str, foreign: Callable[[Any, str], list[str]]) -> Callable[[Any], None]:
    """assert_kept_here(visit): no other host is asked, nothing is complained of, no plot offers to be uploaded."""

    def check(one: Any) -> None:
        buttons = one.page.locator(".modebar-btn")
        buttons.first.wait_for(state="attached")
        titles = buttons.evaluate_all("all => all.map(one => one.dataset.title)")
        assert foreign(one, address) == []
        assert one.complaints == []
        assert titles and not [title for title in titles if "Share" in title or "cloud" in title.lower()]

    return check


@pytest.fixture(scope="session")
def write_layers() -> Callable[[Path], None]:
    """A run of 200 layers in ten blocks."""

    def write(folder: Path) -> None:
        names = [f"blocks.{block}.part.{layer}" for block in range(10) for layer in range(20)]
        told = json.loads(_setup(0.1))
        told["layers"] = [{"name": name, "type": "Linear", "parameters": 4} for name in names]
        with EventFile(folder) as log:
            log.write_setup(json.dumps(told), time.time())
            for step in range(60):
                layers = {"layers/grad_norm": np.linspace(0.1, 1, 200, dtype=np.float32)}
                log.write_step(step, time.time(), [("loss/train", 2 - step / 60)], layers)

    return write


@pytest.fixture
def fixture_run(tmp_path: Path) -> Callable[[str], Path]:
    """A folder that holds one recorded run."""

    def copied(name: str) -> Path:
        shutil.copytree(Path(__file__).parents[2] / "fixtures" / "runs" / name, tmp_path / name)
        return tmp_path

    return copied
