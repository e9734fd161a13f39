"""Breaks trainings and looks at what is left: their losses, their log, and whether it can be read."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from signal import SIGINT, SIGKILL
from typing import Any, Final

from diagnose.dashboard import store
from diagnose.dashboard.server import make_app
from tests.faults.faults import FAULTS, Fault
from tests.faults.judging import Outcome, Readers, Told, judged

LATEST_S: Final = 1.5  # of a signal: a few hundred steps
EARLY: Final = 5  # each fifth signal may come while the training is still being set up; the others come later
AGAIN_S: Final = 5.0  # a SIGINT that came to nothing (Python drops exceptions in some places) is sent again
AGAIN: Final = 8
ENDLESS: Final = 2_500  # steps: more than a training has done that a signal ends
PATIENCE_S: Final = 180.0
DISK: Final = "size=192k"
REPOSITORY: Final = Path(__file__).parents[2]


class Campaign:
    """Trainings that start from one process; `attempt` breaks one and gives what came of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ground = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.ground"], cwd=REPOSITORY, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self._plain: dict[tuple[str, int], dict[int, str]] = {}
        store.LISTING_S = 0.0  # type: ignore[misc]  # what has just come is asked for at once
        self._readers = Readers(make_app(folder).server.test_client(), store.Store(folder))

    def close(self) -> None:
        """End the process that all have started from."""
        assert self._ground.stdin is not None
        self._ground.stdin.close()
        self._ground.wait(PATIENCE_S)

    def attempt(self, fault: Fault, seed: int) -> Outcome:
        """Let the fault break into a training; the seed decides at which instant."""
        expected = self._plain_losses(fault)
        with ExitStack() as stack:
            place = stack.enter_context(_place(self._folder, fault))
            told = self._run(fault, place, seed)
            return judged(fault, told, expected, self._readers)

    def _plain_losses(self, fault: Fault) -> dict[int, str]:
        name, steps = fault.name if fault.own_plain_run else "no fault", fault.steps or ENDLESS
        if (name, steps) not in self._plain:
            with _place(self._folder, FAULTS[name]) as place:
                told = self._run(FAULTS[name], place, seed=0, watched=False, steps=steps)
            self._plain[name, steps] = told.losses
        return self._plain[name, steps]

    def _run(self, fault: Fault, place: Path, seed: int, *, watched: bool = True, steps: int | None = None) -> Told:
        asked = {"fault": fault.name, "place": str(place), "watched": watched, "seed": seed}
        print(json.dumps(asked | {"steps": steps or fault.steps}), file=self._ground.stdin, flush=True)
        process, told, timers = self._line()["process"], Told(place), list[threading.Timer]()

        sent_s = list[float]()

        def send(number: int) -> None:
            sent_s.append(time.monotonic())
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

        def at(moment_s: float, number: int) -> None:
            timers.append(timer := threading.Timer(moment_s, send, (number,)))
            timer.start()

        def signals(number: int) -> None:
            first_s = Random(seed).uniform(0, LATEST_S)
            for again in range(AGAIN if number == SIGINT else 1):
                at(first_s + AGAIN_S * again, number)

        number = fault.signal if watched else None
        at(PATIENCE_S, SIGKILL)
        if number is not None and seed % EARLY == 0:
            signals(number)
        while told.ended is None:
            line = self._line()
            if "began" in line and number is not None and seed % EARLY:
                signals(number)
            if "loss" in line:
                told.losses[line["step"]] = line["loss"]
            elif "flushed" in line:
                told.flushed.setdefault(line["log"], []).extend(line["flushed"])
            elif "fired" in line:
                told.fired.append(line["fired"])
            told.ended = line.get("ended")
        for timer in timers:
            timer.cancel()
        told.took_s = time.monotonic() - sent_s[0] if sent_s else 0.0
        return told

    def _line(self) -> dict[str, Any]:
        assert self._ground.stdout is not None
        told: dict[str, Any] = json.loads(self._ground.stdout.readline())
        return told


@contextmanager
def campaign() -> Iterator[Campaign]:
    """A campaign in a folder of its own, with a cache of its own."""
    with tempfile.TemporaryDirectory() as folder:
        one = Campaign(Path(folder))
        try:
            yield one
        finally:
            one.close()


def obstacle(fault: Fault) -> str:
    """Why the fault cannot be tried here, nothing where it can."""
    if (fault.disk or fault.as_root) and (os.geteuid() or not shutil.which("chattr")):
        return "only root can do this to a disk"
    return ""


@contextmanager
def _place(folder: Path, fault: Fault) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(dir=folder))
    disk = place / "disk"
    if fault.disk:
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, "none", str(disk)], check=True)
    try:
        yield place
    finally:
        if fault.disk:
            subprocess.run(["umount", str(disk)], check=True)
        shutil.rmtree(place)
