"""Breaks trainings and looks at what is left: their losses, their log, and whether it can be read."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from signal import SIGKILL
from typing import Any, Final
from urllib.parse import quote

import numpy as np
from flask.testing import FlaskClient

import diagnose
from diagnose import cli
from diagnose.dashboard import store
from diagnose.dashboard.server import make_app
from diagnose.logs import layout
from tests.faults.faults import FAULTS, Fault

LATEST_S: Final = 1.5  # of a signal: a few hundred steps
EARLY: Final = 5  # each fifth signal may come while the training is still being set up; the others come later
AGAIN_S: Final = 5.0  # a signal that came to nothing (Python drops exceptions in some places) is sent again
PATIENCE_S: Final = 180.0
DISK: Final = "size=192k"
REPOSITORY: Final = Path(__file__).parents[2]


@dataclass
class Told:
    """What one training told, and what it left."""

    place: Path
    began: bool = False
    ended: int | None = None
    losses: dict[int, str] = field(default_factory=dict)
    flushed: dict[str, list[int]] = field(default_factory=dict)  # by log

    @property
    def warnings(self) -> list[str]:
        """What was said on standard error in our name, findings left out."""
        lines = (self.place / "stderr").read_text(errors="replace").splitlines()
        return [line for line in lines if line.startswith("diagnose: ") and "loss became NaN" not in line]


@dataclass
class Outcome:
    """What came of one training: what was wrong with it, and how many flushed records its log has not."""

    wrong: list[str]
    lost: int
    trained: int
    logged: int
    flushed: int


class Campaign:
    """Trainings that start from one process; `attempt` breaks one and gives what came of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ground = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.ground"], cwd=REPOSITORY, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self._plain: dict[str, dict[int, str]] = {}
        store.LISTING_S = 0.0  # type: ignore[misc]  # what has just come is asked for at once
        self._dashboard = make_app(folder).server.test_client()

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
            return _judged(fault, told, expected, self._dashboard)

    def _plain_losses(self, fault: Fault) -> dict[int, str]:
        name = fault.name if fault.own_plain_run else "no fault"
        if name not in self._plain:
            plain = FAULTS[name]
            with _place(self._folder, plain) as place:
                steps = plain.steps if fault.own_plain_run else 2_500
                self._plain[name] = self._run(plain, place, seed=0, watched=False, steps=steps).losses
        return self._plain[name]

    def _run(self, fault: Fault, place: Path, seed: int, *, watched: bool = True, steps: int | None = None) -> Told:
        asked = {"fault": fault.name, "place": str(place), "watched": watched, "seed": seed}
        print(json.dumps(asked | {"steps": steps or fault.steps}), file=self._ground.stdin, flush=True)
        process, told, timers = self._line()["process"], Told(place), list[threading.Timer]()

        def at(moment_s: float, number: int) -> None:
            timers.append(timer := threading.Timer(moment_s, _send, (process, number)))
            timer.start()

        def signals(number: int) -> None:
            first_s = Random(seed).uniform(0, LATEST_S)
            for again in range(8):
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
            told.began |= "began" in line
            told.ended = line.get("ended")
        for timer in timers:
            timer.cancel()
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


def _send(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


# --- what is looked at ------------------------------------------------------------------------------------


def _judged(fault: Fault, told: Told, expected: dict[int, str], dashboard: FlaskClient) -> Outcome:
    wrong = []
    if told.ended != fault.ending:
        wrong.append(f"ended with {told.ended}: {(told.place / 'stderr').read_text()[-600:]}")
    if fault.steps is not None and fault.ending == 0 and len(told.losses) != fault.steps:
        wrong.append(f"trained {len(told.losses)} steps")
    if differing := [step for step, loss in told.losses.items() if expected.get(step) != loss]:
        wrong.append(f"losses differ from step {differing[0]} on")
    if twice := [text for text, times in Counter(told.warnings).items() if times > 1]:
        wrong.append(f"said more than once: {twice}")
    if fault.warns and not told.warnings:
        wrong.append("said nothing")
    if fault.leaves == "all" and not any(told.flushed.values()):
        wrong.append("nothing was ever flushed")
    lost = logged = 0
    for log, steps in told.flushed.items() if fault.leaves != "nothing" else ():
        kept = _kept_of(log, told)
        logged = max(logged, len(kept))
        lost += sum(kept.get(step) != np.float32(float.fromhex(told.losses[step])) for step in steps
                    if step in told.losses and told.losses[step] != "nan")  # fmt: skip
        wrong += _misread(
            Path(log), f"{told.place.name}/{Path(log).relative_to(told.place)}", dashboard, some=bool(steps)
        )
        if fault.leaves == "all":
            wrong += _miscounted(log, kept, told)
    return Outcome(wrong, lost, len(told.losses), logged, sum(map(len, told.flushed.values())))


def _kept_of(log: str, told: Told) -> dict[int, float]:
    losses = _run_at(log, told.place).scalar("loss/train")
    return {} if losses is None else dict(zip(losses.steps.tolist(), losses.values.tolist(), strict=True))


def _run_at(log: str, place: Path) -> diagnose.Run:
    """The run, from its spool or, where that is gone, from where it was copied to."""
    return diagnose.load(log if Path(log).exists() else place / "run")


def _miscounted(log: str, kept: dict[int, float], told: Told) -> list[str]:
    run = _run_at(log, told.place)
    told_of = run.scalar(layout.DROPPED_TAG)
    dropped = int(told_of.values[-1]) if told_of is not None else 0
    wrong = [] if run.closed else ["the log was not closed"]
    if len(kept) + dropped not in {len(told.losses), len(told.losses) + 1} and "another" not in log:
        wrong.append(f"{len(told.losses)} steps trained, {len(kept)} in the log, {dropped} counted as dropped")
    return wrong


def _misread(log: Path, name: str, dashboard: FlaskClient, *, some: bool) -> list[str]:
    """What of `diagnose report` and the dashboard's own functions does not work on the log.

    Where no step was flushed yet, the one says so in a sentence and the other has the run in its list.
    """
    if not log.exists():
        return []
    wrong, said = [], io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main(["report", str(log)])
    if code not in ({cli.HEALTHY, cli.ILL} if some else {cli.UNUSABLE}):
        wrong.append(f"diagnose report: {said.getvalue()[-300:]}")
    reports = [f"/report?name={quote(name)}&format={kind}" for kind in ("html", "json")]
    codes = {place: dashboard.get(place).status_code for place in ("/_dash-layout", *(reports if some else ()))}
    return wrong + [f"the dashboard's {place}: {code}" for place, code in codes.items() if code != 200]
