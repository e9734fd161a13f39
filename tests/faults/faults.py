"""The faults that are tried: what comes, and what of training and log must be left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import Final, Literal

import torch

from diagnose.hooks.probes import curvature, gradients
from diagnose.hooks.stream import FLUSH_ROWS
from tests.faults.accidents import (
    STEPS,
    another_training,
    attached_twice,
    between_lines,
    clock_set_back,
    deleted,
    exception,
    exit_early,
    forked,
    full_disk,
    hanging_disk,
    hanging_store,
    in_own_code,
    nothing,
    read_only,
    remote_for_a_minute,
    size_limit,
    workers,
    writer_ended,
)  # fmt: skip
from tests.faults.own_failures import OURS, everything_fails, failing, failing_callback
from tests.faults.scene import Scene

LAGS: Final = 3 * FLUSH_ROWS  # steps, of the log behind training: what is gathered, written, and waits for that
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


def _ours() -> list[Fault]:
    return [
        Fault(
            f"an exception in {owner.__name__}.{name}",
            partial(failing, owner, name, lambda: ValueError("ours")),
            leaves="closed", says=SWITCHED_OFF, times=2,
        )
        for owner, names in OURS
        for name in names
    ]  # fmt: skip


DISK: Final = "steps are missing from the log, because the log cannot be written"

FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("no fault", nothing, times=1, fires=False),
        Fault("kill -9", nothing, -SIGKILL, "flushed", behind=LAGS, signal=SIGKILL, steps=None, times=200, fires=False),
        Fault("kill -9 in the training's own code", partial(in_own_code, number=SIGKILL), -SIGKILL, "flushed",
              behind=LAGS, times=10, quick=True),
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
        Fault("sys.exit in the loop", exit_early, 3),  # the interpreter tells nobody of it: the log says finished
        Fault("a full disk", full_disk, leaves="flushed", times=10, says=DISK, disk=True),
        Fault("a disk that is full for a while", partial(full_disk, until=200), times=10, says=DISK, disk=True),
        Fault("a limit of file sizes, for a while", size_limit, times=10, says=DISK, quick=True),
        Fault("a log made read-only for a while", read_only, times=10, says=DISK, as_root=True),
        Fault("a deleted run_dir", deleted, leaves="nothing", times=10, says=DISK),
        Fault("a disk that hangs", hanging_disk, says="steps are missing from the log, because the disk is slower"),
        Fault("a clock set back by an hour", clock_set_back, times=5),
        Fault("a writer thread that dies", writer_ended, times=10,
              says="steps are missing from the log, because the thread that writes it was ended"),
        Fault("a store that hangs until training is done", hanging_store),
        Fault("a store that hangs for a minute", remote_for_a_minute, times=1, says="the log could not be copied to"),
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
