"""What may happen to a training that is watched, one function for each kind; each sets the scene and no more."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from types import FrameType
from typing import Any, Final, Literal

import fsspec
import torch
from fsspec.implementations.local import LocalFileSystem
from torch import nn

import diagnose
from diagnose.hooks import cadence, course, kept_batch, layers, mirror, stream, trouble, watch, writer
from diagnose.hooks.probes import activations, curvature, gradients, losses, noise, updates
from diagnose.hooks.stream import FLUSH_ROWS
from diagnose.logs.writing import EventFile
from tests.faults.scene import Scene, tell

STEPS: Final = 300
MINUTE_S: Final = 60.0
LAGS: Final = 4 * FLUSH_ROWS  # steps, of the log behind training: what is gathered, written, and waits for that
SWITCHED_OFF: Final = r"(this run is no longer watched|.* is switched off): (ValueError|UnavailableError): "
TERMINATED: Final = "ended by SIGTERM"
INTERRUPTED: Final = "ended by KeyboardInterrupt"


@dataclass(frozen=True)
class Fault:
    """What comes, and what of training and log must be left.

    `leaves` says what must be in the log: each step that it does not count as dropped, and a proper end; each step
    flushed, and a proper end; each step flushed; or nothing. An end is proper where the log tells what `told_as`
    matches. At most `behind` steps that were trained are not in it. `says` matches each warning, none is said without.
    """

    name: str
    set_up: Callable[[Scene], object]
    ending: int = 0
    leaves: Literal["all", "closed", "flushed", "nothing"] = "all"
    told_as: str = ""
    behind: int | None = None
    signal: Signals | None = None  # sent from outside, at an instant of its own
    steps: int | None = STEPS
    times: int = 3
    says: str = ""
    raises: str = ""  # the last line of a traceback
    fires: bool = True  # tells when it comes; what is there from the start, or sent from outside, need not
    own_plain_run: bool = False  # the unwatched training differs from that of the others as well
    quick: bool = False  # also in the suite that runs each time
    disk: bool = False  # wants a file system of its own at `place / "disk"`, and so root
    as_root: bool = False


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


# --- our own failures ---------------------------------------------------------------------------------

OURS: Final = (
    (gradients.GradientProbe, ("measure",)),
    (activations.ActivationProbe, ("begin", "end", "write")),
    (updates.UpdateProbe, ("before", "after")),
    (noise.NoiseProbe, ("begin", "saw_forward", "measure", "forget")),
    (curvature.CurvatureProbe, ("measure",)),
    (losses.LossProbe, ("from_criterion", "from_output")),
    (trouble.Trouble, ("feel",)),
    (layers.ForwardOrder, ("finish",)),
    (cadence.Timetable, ("due", "look_done", "step_done")),
    (course.Course, ("before_forward", "after_forward", "after_criterion", "before_step", "after_step", "close")),
    (watch.Watch, ("observe",)),
    (stream.Stream, ("add", "row", "latest", "step_done", "describe")),
    (kept_batch.BatchKeeper, ("saw",)),
)


ONCE: Final = ("finish", "forget", "close")  # called once in a training


def failing(owner: type, name: str, error: Callable[[], BaseException], scene: Scene) -> None:
    """One of our own functions raises from some call on."""
    original, calls, fatal = getattr(owner, name), [0], scene.instant.randrange(1, 4)  # curvature looks thrice
    fatal = 1 if name in ONCE else fatal

    def fail(*arguments: Any, **keywords: Any) -> Any:
        calls[0] += 1
        if calls[0] >= fatal:
            if calls[0] == fatal:
                tell(fired=f"{owner.__name__}.{name}")
            raise error()
        return original(*arguments, **keywords)

    setattr(owner, name, fail)
    if owner is kept_batch.BatchKeeper:
        scene.arguments["keep_batch"] = True
    if name == "from_output":
        scene.arguments["criterion"] = None


def everything_fails(scene: Scene) -> None:
    """All probes raise."""
    for owner, names in OURS[:6]:
        for name in names:
            failing(owner, name, ValueError, scene)


def failing_callback(scene: Scene) -> None:
    """The loss breaks, and the user's `on_finding` with it."""

    def fail(finding: diagnose.Finding) -> None:
        tell(fired=finding.id)
        raise RuntimeError(finding.id)

    scene.arguments["on_finding"] = fail
    scene.breaks_at = 120


def _ours() -> list[Fault]:
    return [
        Fault(
            f"an exception in {owner.__name__}.{name}",
            partial(failing, owner, name, lambda: ValueError("ours")),
            leaves="closed", says=SWITCHED_OFF, times=2, quick=(owner, name) == (course.Course, "before_step"),
        )
        for owner, names in OURS
        for name in names
    ]  # fmt: skip


DISK: Final = "steps are missing from the log, because the log cannot be written"

FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("no fault", nothing, times=1, fires=False),
        Fault("kill -9", nothing, -SIGKILL, "flushed", behind=LAGS, signal=SIGKILL, steps=None, times=200, fires=False,
              quick=True),
        Fault("SIGTERM", nothing, -SIGTERM, "closed", TERMINATED, FLUSH_ROWS, SIGTERM, None, times=25, fires=False),
        Fault("SIGINT", nothing, -SIGINT, "closed", INTERRUPTED, FLUSH_ROWS, SIGINT, None, times=25, fires=False,
              raises="KeyboardInterrupt"),
        Fault("SIGTERM in the training's own code", partial(in_own_code, number=SIGTERM), -SIGTERM, "all", TERMINATED,
              times=10),
        Fault("SIGINT in the training's own code", partial(in_own_code, number=SIGINT), -SIGINT, "all", INTERRUPTED,
              times=10, raises="KeyboardInterrupt"),
        Fault("SIGTERM between two lines of ours", partial(between_lines, number=SIGTERM), -SIGTERM, "closed",
              TERMINATED, FLUSH_ROWS, times=40),
        Fault("SIGINT between two lines of ours", partial(between_lines, number=SIGINT), -SIGINT, "closed",
              INTERRUPTED, FLUSH_ROWS, times=40, raises="KeyboardInterrupt"),
        Fault("an exception in the loop", exception, 1, told_as="ended by RuntimeError: the user's own", times=10,
              raises="RuntimeError: the user's own"),
        Fault("sys.exit in the loop", exit_early, 3),  # which the interpreter tells nobody: the log calls it finished
        Fault("a full disk", full_disk, leaves="flushed", times=10, says=DISK, disk=True),
        Fault("a disk that is full for a while", partial(full_disk, until=200), times=10, says=DISK, disk=True),
        Fault("a limit of file sizes, for a while", size_limit, times=10, says=DISK, quick=True),
        Fault("a log made read-only for a while", read_only, times=10, says=DISK, as_root=True),
        Fault("a deleted run_dir", deleted, leaves="nothing", times=10, says=DISK, quick=True),
        Fault("a disk that hangs", hanging_disk, says="steps are missing from the log, because the disk is slower"),
        Fault("a clock set back by an hour", clock_set_back, times=5),
        Fault("a writer thread that dies", writer_ended, times=10, quick=True,
              says="steps are missing from the log, because the thread that writes it was ended"),
        Fault("a store that hangs until training is done", hanging_store),
        Fault("a store that hangs for a minute", remote_for_a_minute, times=1, says=".*store"),
        Fault("8 forked workers", partial(workers, start="fork"), own_plain_run=True, fires=False),
        Fault("8 spawned workers", partial(workers, start="spawn"), steps=60, times=1, own_plain_run=True, fires=False),
        Fault("forks that end like scripts", forked, times=10),
        Fault("attached twice", attached_twice, fires=False),
        Fault("two trainings in turns", another_training),
        Fault("out of memory on the device, in a probe",
              partial(failing, curvature.CurvatureProbe, "measure", lambda: torch.OutOfMemoryError("simulated")),
              says="curvature is switched off: OutOfMemoryError"),
        Fault("out of memory on the host, in a probe",
              partial(failing, gradients.GradientProbe, "measure", MemoryError),
              says="gradients is switched off: MemoryError"),
        Fault("an exception in every probe", everything_fails, leaves="closed", times=5, says=SWITCHED_OFF, quick=True),
        Fault("an exception in on_finding", failing_callback, says="on_finding is switched off: RuntimeError",
              own_plain_run=True),
        *_ours(),
    )
}  # fmt: skip
