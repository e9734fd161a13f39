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
from numpy.typing import NDArray

import diagnose
from diagnose.logs import bulk, reading
from diagnose.run import LayerSeries, Run, Series
from tests.fuzzing.mutating import LOGS, SEEDS, Files, mutated

SLOW_S: Final = 1.0  # of the processor's time: other work on the machine is not the reader's fault
STOP_S: Final = 10.0  # of that: it is stopped,
KILL_S: Final = 30.0  # and where Python has no say, ended
MEMORY_MB: Final = 500.0
ROOM_BYTES: Final = 2_000_000_000  # beyond what the process has: an allocation past that fails
HARM: Final = ("crash", "slow", "memory")
FRAMES: Final = 2  # of a traceback, by which a crash is told from others


class Outcome(NamedTuple):
    """`verdict` is read, refused, crash, slow or memory; `why` says where or what."""

    number: int
    log: str
    verdict: str
    why: str = ""
    examined: bool = False
    compared: bool = False  # read in both ways, the compiled one and record by record, which agree
    seconds: float = 0.0
    peak_mb: float = 0.0


class Stopped(BaseException):
    """It took far too long. No `Exception`: nothing on the way may take it for its own."""


def read_in_turn(wire: Any, seed: int, numbers: range, until: float) -> None:
    """Read these logs and send each one's outcome; what it is goes before, should reading end the process.

    First come the sound logs, of the number -1, of which only those are sent that are not read as they should be. The
    last word is None: who ends without has been ended.
    """
    os.environ["DIAGNOSE_CACHE"] = "off"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore", RuntimeWarning)  # numbers at the ends of their kind overflow; that is no crash
    bulk.make_ready()  # what is compiled or loaded once is no file's cost
    _leave_room(2 * ROOM_BYTES)  # for what is loaded once as well
    with TemporaryDirectory() as folder:
        for name in LOGS:
            wire.send((-1, name))
            told = outcome(-1, {name: (SEEDS / name).read_bytes()}, Path(folder))
            if not told.examined:
                wire.send(told._replace(verdict="crash", why=told.why or "a sound log is refused"))
        _leave_room(ROOM_BYTES)
        for number in numbers:
            if time.time() > until:
                break
            files = mutated(seed, number)
            wire.send((number, next(iter(files))))
            wire.send(outcome(number, files, Path(folder)))
    wire.send(None)
    wire.close()


def outcome(number: int, files: Files, place: Path) -> Outcome:
    """Write these files, read and examine what they are, and tell what came of it; event files in both ways."""
    log = next(iter(files))
    with TemporaryDirectory(dir=place) as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        if "tfevents" not in log:
            return _read(number, log, folder)[0]
        with _only(compiled=True):
            told, run = _read(number, log, folder)
        with _only(compiled=False):
            slowly, other = _read(number, log, folder)
    seconds, peak_mb = max(told.seconds, slowly.seconds), max(told.peak_mb, slowly.peak_mb)
    worse = slowly if slowly.verdict in HARM and told.verdict not in HARM else told
    worse = worse._replace(seconds=seconds, peak_mb=peak_mb)
    if worse.verdict in HARM:
        return worse
    if differs := _difference(run, other):
        return worse._replace(verdict="crash", why=f"{differs} between the two ways of reading")
    return worse._replace(compared=run is not None)


def _read(number: int, log: str, folder: str) -> tuple[Outcome, Run | None]:
    run, examined, verdict, why = None, False, "read", ""
    with _stopped_in_time():
        before_mb, begun = _peak_from_now_mb(), time.process_time()
        try:
            run = diagnose.load(folder)
            _check(run)
            examined = _examined(run)
        except diagnose.DiagnoseError as error:
            verdict, why = ("memory", _told(error)) if _for_want_of_memory(error) else ("refused", "")
            _check_sentence(str(error))
        except (Exception, Stopped) as error:  # noqa: BLE001  that is what is looked for
            run, verdict, why = None, "crash", _told(error)
        seconds, peak_mb = time.process_time() - begun, _own_kb("VmHWM") / 1e3 - before_mb
    if verdict != "crash" and (seconds > SLOW_S or peak_mb > MEMORY_MB):
        verdict = "slow" if seconds > SLOW_S else "memory"
    return Outcome(number, log, verdict, why, examined, seconds=seconds, peak_mb=peak_mb), run


@contextmanager
def _only(*, compiled: bool) -> Iterator[None]:
    """Event files are read in that way, whatever their size; raises where they were not."""
    read, fast_from, ways = reading.EventReader.read, reading.FAST_FROM, set()

    def told_read(reader: reading.EventReader, *arguments: Any) -> None:
        read(reader, *arguments)
        ways.add(reader._bulk is not None)

    reading.FAST_FROM = 0 if compiled else 2**60  # type: ignore[misc]  # Final but for here
    reading.EventReader.read = told_read  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        reading.FAST_FROM = fast_from  # type: ignore[misc]  # and as it was
        reading.EventReader.read = read  # type: ignore[method-assign]
    if not ways <= {compiled}:
        raise RuntimeError("event files were not read in the way that was asked for")


def _for_want_of_memory(error: BaseException | None) -> bool:
    """Whether our own error stands for an allocation that failed: so much must not even be asked for."""
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


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


def _difference(run: Run | None, other: Run | None) -> str:
    """What differs, nothing where nothing does. What is refused in one way is refused in the other."""
    if run is None or other is None:
        return "" if run is other else "one is read, the other refused: this differs"
    for one, two in ((run.scalars, other.scalars), (run.layer_signals, other.layer_signals)):
        if one.keys() != two.keys():
            return "tags differ"
        if any(
            not np.array_equal(a, b, equal_nan=True)
            for tag in one
            for a, b in zip(_parts(one[tag]), _parts(two[tag]), strict=True)
        ):
            return "values differ"
    told, twin = ((each.notes, repr(each.setup), each.names, each.last_words) for each in (run, other))
    return "" if told == twin else "notes differ"


def _parts(series: Series | LayerSeries) -> tuple[NDArray[Any], ...]:
    return series.steps, series.values, *([series.wall_times] if isinstance(series, Series) else [])


def _told(error: BaseException) -> str:
    """Its kind and the last places of ours on the way to it: the same for the same fault."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames if "/diagnose/" in f.filename]
    message = re.sub(r"\S*/|\d+", "", str(error))[:100]
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


def _leave_room(further_bytes: int) -> None:
    """An allocation fails that is larger than this, all together."""
    limit = _own_kb("VmSize") * 1024 + further_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def _peak_from_now_mb() -> float:
    """What the process holds; from now on its peak is counted anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return _own_kb("VmRSS") / 1e3


def _own_kb(what: str) -> int:
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0
