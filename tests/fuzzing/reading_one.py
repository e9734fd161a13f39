"""One mutated log read, examined and reported, and what came of it: in a process of its own, of limited memory."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np

import diagnose
from diagnose.logs import bulk, reading
from diagnose.run import Run
from tests.fuzzing.mutating import LOGS, SEEDS, Files, mutated

SLOW_S: Final = 1.0  # of the processor's time: other work on the machine is not the reader's fault
STOP_S: Final = 10.0  # of that: it is stopped,
KILL_S: Final = 30.0  # and where Python has no say, ended
MEMORY_MB: Final = 500.0
ROOM_BYTES: Final = 2_000_000_000  # beyond what the process has: an allocation past that fails
FRAMES: Final = 2  # of a traceback, by which a crash is told from others


class Outcome(NamedTuple):
    """`verdict` is read, refused, crash, slow or memory; `why` says where or what."""

    number: int
    log: str
    verdict: str
    why: str = ""
    examined: bool = False
    seconds: float = 0.0
    peak_mb: float = 0.0


class Stopped(BaseException):
    """It took far too long. No `Exception`: nothing on the way may take it for its own."""


def read_in_turn(wire: Any, seed: int, numbers: range, until: float) -> None:
    """Read these logs and send each one's outcome; its number goes before, should reading end the process."""
    os.environ["DIAGNOSE_CACHE"] = "off"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore", RuntimeWarning)  # numbers at the ends of their kind overflow; that is no crash
    bulk.make_ready()  # what is compiled or loaded once is no file's cost
    with TemporaryDirectory() as folder:
        for name in LOGS:
            outcome(-1, {name: (SEEDS / name).read_bytes()}, Path(folder))
        resource.setrlimit(resource.RLIMIT_AS, (_own_kb("VmSize") * 1024 + ROOM_BYTES,) * 2)
        for number in numbers:
            if time.time() > until:
                break
            wire.send(number)
            wire.send(outcome(number, mutated(seed, number), Path(folder)))
    wire.close()


def outcome(number: int, files: Files, place: Path) -> Outcome:
    """Write these files, read and examine what they are, and tell what came of it."""
    log = next(iter(files))
    examined, verdict, why = False, "read", ""
    with TemporaryDirectory(dir=place) as folder, _stopped_in_time():
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        before_mb, begun = _peak_from_now_mb(), time.process_time()
        try:
            run = diagnose.load(folder)
            _check(run)
            examined = _examined(run)
        except diagnose.DiagnoseError as error:
            run, verdict = None, "refused"
            _check_sentence(str(error))
        except (Exception, Stopped) as error:  # noqa: BLE001  that is what is looked for
            run, verdict, why = None, "crash", _told(error)
        seconds, peak_mb = time.process_time() - begun, _own_kb("VmHWM") / 1e3 - before_mb
        if run is not None and "tfevents" in log:
            try:
                _check_same(run, _read_one_by_one(folder))
            except Exception as error:  # noqa: BLE001
                verdict, why = "crash", _told(error)
    if verdict != "crash" and (seconds > SLOW_S or peak_mb > MEMORY_MB):
        verdict = "slow" if seconds > SLOW_S else "memory"
    return Outcome(number, log, verdict, why, examined, seconds, peak_mb)


def _examined(run: Run) -> bool:
    """Whether it could be; every form of the report is then there."""
    try:
        diagnosis = diagnose.examine(run)
    except diagnose.NoRunError:
        return False
    json.loads(diagnosis.to_json())
    diagnosis.to_markdown()
    return True


def _check(run: Run) -> None:
    for name, series in run.scalars.items():
        assert name.isprintable(), "a name that cannot be printed"
        assert len(series) == len(series.values) == len(series.wall_times) > 0, "lengths"
        assert (series.steps[1:] > series.steps[:-1]).all(), "order"
    for layers in run.layer_signals.values():
        assert len(layers.steps) == len(layers.values), "lengths"
    assert all(note.isprintable() for note in run.notes), "a note that cannot be printed"


def _check_sentence(text: str) -> None:
    assert text and "\n" not in text, "an error of no, or of several lines"


def _check_same(run: Run, other: Run) -> None:
    assert run.scalars.keys() == other.scalars.keys(), "tags differ between the two ways of reading"
    for name, series in run.scalars.items():
        same = other.scalars[name]
        parts = ((series.steps, same.steps), (series.values, same.values), (series.wall_times, same.wall_times))
        assert all(np.array_equal(one, two, equal_nan=True) for one, two in parts), "values differ between two ways"
    assert run.notes == other.notes and run.setup == other.setup, "notes differ between the two ways of reading"


def _read_one_by_one(folder: str) -> Run:
    fast_from, reading.FAST_FROM = reading.FAST_FROM, 2**60  # type: ignore[misc]  # Final but for here
    try:
        return diagnose.load(folder)
    finally:
        reading.FAST_FROM = fast_from  # type: ignore[misc]  # and as it was


def _told(error: BaseException) -> str:
    """Its kind and the last places of ours on the way to it: the same for the same fault."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames if "/diagnose/" in f.filename]
    message = re.sub(r"\d+", "N", str(error))[:100]
    return f"{type(error).__name__}: {message} at {' < '.join(reversed(ours[-FRAMES:]))}"


@contextmanager
def _stopped_in_time() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, STOP_S)
    signal.setitimer(signal.ITIMER_VIRTUAL, KILL_S)  # nobody handles that: it ends the process
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGPROF, before)


def _peak_from_now_mb() -> float:
    """What the process holds; from now on its peak is counted anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return _own_kb("VmRSS") / 1e3


def _own_kb(what: str) -> int:
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0
