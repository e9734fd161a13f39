"""What may happen to a training that is watched, one function for each; each sets the scene and no more."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from signal import Signals
from types import FrameType
from typing import Any, Final

import fsspec
import torch
from fsspec.implementations.local import LocalFileSystem
from torch import nn

import diagnose
from diagnose.hooks import mirror, writer
from diagnose.logs.writing import EventFile
from tests.faults.scene import Scene, tell

STEPS: Final = 300
MINUTE_S: Final = 60.0


def nothing(_scene: Scene) -> None:
    """Only a signal from outside."""


# --- endings ------------------------------------------------------------------------------------------


def exception(scene: Scene) -> None:
    """The training's own code raises."""

    def fail() -> None:
        raise RuntimeError("the user's own")

    scene.at[scene.instant.randrange(1, STEPS)] = fail


def exit_early(scene: Scene) -> None:
    """The training's own code leaves."""
    scene.at[scene.instant.randrange(1, STEPS)] = partial(sys.exit, 3)


def in_own_code(scene: Scene, number: Signals) -> None:
    """A signal comes while the training's own code runs, and none of ours."""
    scene.at[scene.instant.randrange(1, STEPS)] = partial(os.kill, os.getpid(), number)


def between_lines(scene: Scene, number: Signals) -> None:
    """A signal comes between two lines of what hands steps to the log, while locks are held and lists half changed."""
    left = scene.instant.randrange(1, 150)

    def line(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        left -= event == "line"
        if left == 0:
            sys.settrace(None)
            os.kill(os.getpid(), number)
        return line

    def call(frame: FrameType, _event: str, _argument: object) -> Any:
        return line if Path(frame.f_code.co_filename).name in {"stream.py", "writer.py", "queue.py"} else None

    # From a step on in which a flush is due.
    scene.at[50 * scene.instant.randrange(1, 4) + 1] = partial(sys.settrace, call)


# --- disks --------------------------------------------------------------------------------------------


def _disk(scene: Scene) -> Path:
    """A file system of its own for the log, which goes with the process that asked for it."""
    disk = scene.place / "disk"
    scene.run_dir = str(disk / "run")
    return disk


def full_disk(scene: Scene, until: int = STEPS + 1) -> None:
    """Nothing more fits from a step on, in the middle of a record too."""
    disk = _disk(scene)

    def fill() -> None:
        with (disk / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    scene.at[scene.instant.randrange(1, 100)] = fill
    scene.at[until] = (disk / "filler").unlink


def size_limit(scene: Scene) -> None:
    """For a while no file may grow beyond what the log has."""

    def limit(further: int) -> None:
        files = [file.stat().st_size for file in Path(scene.run_dir).glob("*tfevents*")]
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(files) + further if further else -1, -1))

    scene.at[scene.instant.randrange(1, 100)] = partial(limit, 700)
    scene.at[200] = partial(limit, 0)


def read_only(scene: Scene) -> None:
    """For a while nobody may write to the log, whoever had opened it before included."""

    def change(flag: str) -> None:
        files = [str(file) for file in Path(scene.run_dir).glob("*tfevents*")]
        subprocess.run(["chattr", flag, *files], check=True)

    scene.at[scene.instant.randrange(1, 100)] = partial(change, "+i")
    scene.at[200] = partial(change, "-i")


def deleted(scene: Scene) -> None:
    """The run's folder is deleted."""
    scene.at[scene.instant.randrange(1, 200)] = lambda: shutil.rmtree(scene.run_dir)


def hanging_disk(scene: Scene) -> None:
    """A write does not return until training is done."""
    flush, done = EventFile.flush, threading.Event()

    def hang(file: EventFile) -> None:
        if len(done_steps) > 1:
            done.wait(MINUTE_S)
        flush(file)

    done_steps: list[int] = []
    for step in (100, 101):
        scene.at[step] = partial(done_steps.append, step)
    assert scene.steps is not None
    scene.at[scene.steps] = done.set
    writer.QUEUED_BLOCKS = 2
    EventFile.flush = hang  # type: ignore[method-assign, assignment]


# --- clocks, threads, networks ------------------------------------------------------------------------


def clock_set_back(scene: Scene) -> None:
    """The clock is set back by an hour."""
    now = time.time

    def set_back() -> None:
        time.time = lambda: now() - 3600

    scene.at[scene.instant.randrange(1, 200)] = set_back


def writer_ended(scene: Scene) -> None:
    """What ends a thread and is no Exception comes up in the writer's."""
    write_step, fatal = EventFile.write_step, scene.instant.randrange(1, 250)

    def end(file: EventFile, step: int, *values: Any) -> None:
        if step == fatal:
            tell(fired="writer")
            raise SystemExit
        write_step(file, step, *values)

    EventFile.write_step = end  # type: ignore[method-assign, assignment]


class Hanging(LocalFileSystem):  # type: ignore[misc]
    """A store whose first answer takes until `ready` is set, or the minute is over."""

    protocol = "hanging"
    ready = threading.Event()

    def put_file(self, *arguments: Any, **keywords: Any) -> None:
        """Answer late."""
        tell(fired="store")
        Hanging.ready.wait(MINUTE_S)
        super().put_file(*arguments, **keywords)


def hanging_store(scene: Scene) -> None:
    """A remote `run_dir` whose store does not answer until training is done."""
    remote_for_a_minute(scene)
    assert scene.steps is not None
    scene.at[scene.steps] = Hanging.ready.set


def remote_for_a_minute(scene: Scene) -> None:
    """A remote `run_dir` whose store does not answer for a minute: the log stays in its spool."""
    fsspec.register_implementation("hanging", Hanging)
    mirror.UPLOAD_S = 0.05  # type: ignore[misc]
    mirror.tempfile.tempdir = str(scene.place)  # type: ignore[attr-defined]
    scene.run_dir = f"hanging://{scene.place}/run"


# --- company ------------------------------------------------------------------------------------------


def workers(scene: Scene, start: str) -> None:
    """Batches come from eight processes."""
    scene.workers = {"num_workers": 8, "multiprocessing_context": start}


def forked(scene: Scene) -> None:
    """The program forks while it trains, and each fork ends like a script."""

    def fork() -> None:
        if os.fork() == 0:
            sys.exit()
        _, status = os.wait()
        assert status == 0, f"the fork ended with {status}"

    for _ in range(5):
        scene.at[scene.instant.randrange(1, STEPS)] = fork


def attached_twice(scene: Scene) -> None:
    """Two monitors watch one model."""
    scene.runs.append(str(scene.place / "again"))


def another_training(scene: Scene) -> None:
    """Another model is trained and watched in turns with this one."""
    model, x = nn.Linear(4, 1), torch.ones(2, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step() -> None:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    def begin() -> None:
        scene.monitors.append(diagnose.attach(model, optimizer, run_dir=scene.place / "another"))

    scene.at.update({1: begin, **dict.fromkeys(range(2, STEPS), step)})
