"""What is looked at behind a fault: the losses, how it ended, what was said, the log, and who reads that."""

from __future__ import annotations

import contextlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT
from typing import Final
from urllib.parse import quote

import numpy as np
from flask.testing import FlaskClient
from tensorboard.compat.proto.event_pb2 import Event

import diagnose
from diagnose import cli
from diagnose.dashboard.store import Store
from diagnose.logs import layout
from diagnose.logs.records import Damage, records
from tests.faults.faults import Fault

ENDS_S: Final = 20.0  # after a signal: whoever waits longer waits for something that does not come
OTHERS: Final = re.compile(r".*UserWarning: (?:This DataLoader will create|UPath 'hanging').*\n.*\n?")  # and its line
RAISED: Final = "Traceback (most recent call last):"


@dataclass
class Told:
    """What one training told, and what it left."""

    place: Path
    ended: int | None = None
    took_s: float = 0.0  # from a signal to the end
    losses: dict[int, str] = field(default_factory=dict)
    fired: list[int | str] = field(default_factory=list)  # the steps at which a fault broke in, or its names
    flushed: dict[str, list[int]] = field(default_factory=dict)  # by log

    @property
    def said(self) -> str:
        """What stands on standard error, without what other packages have to say."""
        return OTHERS.sub("", (self.place / "stderr").read_text(errors="replace"))


@dataclass
class Outcome:
    """What came of one training: what was wrong with it, and how many flushed records its log has not."""

    wrong: list[str]
    lost: int = 0
    trained: int = 0
    logged: int = 0


@dataclass(frozen=True)
class Readers:
    """Whoever else reads the logs."""

    dashboard: FlaskClient
    store: Store


def judged(fault: Fault, told: Told, expected: dict[int, str], readers: Readers) -> Outcome:
    """All that is wrong with what a fault has left."""
    outcome = Outcome([*_misled(fault, told, expected), *_missaid(fault, told)], trained=len(told.losses))
    if fault.leaves in {"all", "closed"} and told.losses and not told.flushed:
        outcome.wrong.append("there is no log")
    for log, steps in told.flushed.items() if fault.leaves != "nothing" else ():
        try:
            _look_into(log, steps, fault, told, outcome)
        except diagnose.DiagnoseError as error:
            if steps:
                outcome.wrong.append(f"{log} cannot be read: {error}")
        outcome.wrong += _misread(Path(log), str(Path(log).relative_to(told.place.parent)), readers, some=bool(steps))
    behind = outcome.trained - outcome.logged
    if fault.behind is not None and behind > fault.behind:
        outcome.wrong.append(f"{behind} of {outcome.trained} steps are not in the log")
    return outcome


# --- the training -------------------------------------------------------------------------------------


def _misled(fault: Fault, told: Told, expected: dict[int, str]) -> Iterator[str]:
    if told.ended != fault.ending:
        yield f"ended with {told.ended}: {told.said[-600:]}"
    if told.took_s > ENDS_S:
        yield f"ended {told.took_s:.0f} s behind the signal"
    if fault.fires and not told.fired:
        yield "the fault never came"
    steps = fault.steps
    if fault.ending > 0 and told.fired:  # ended by the training's own code, at the step at which that breaks
        steps = int(told.fired[0]) - 1
    if fault.ending >= 0 and len(told.losses) != steps:
        yield f"trained {len(told.losses)} of {steps} steps"
    if differing := [step for step, loss in told.losses.items() if expected.get(step) != loss]:
        yield f"losses differ from step {differing[0]} on"


def _missaid(fault: Fault, told: Told) -> Iterator[str]:
    """One warning of a kind where one is due, and nothing else but the end that the training has come to."""
    said, _, trace = told.said.partition(RAISED)
    expected = "Exception ignored" if fault.ending == -SIGINT else "diagnose: NaN loss:"  # Python drops some
    lines = [line for line in said.splitlines() if not line.startswith(expected)]
    if strange := [line for line in lines if not fault.says or not re.match(f"diagnose: {fault.says}", line)]:
        yield f"said: {strange}"
    if fault.says and not lines:
        yield "said nothing"
    kinds = Counter(re.sub(r"\d+", "N", line) for line in lines)
    if twice := [kind for kind, times in kinds.items() if times > 1]:
        yield f"said more than once: {twice}"
    last = trace.strip().rpartition("\n")[2]
    if last != fault.raises or (RAISED in trace and fault.ending != -SIGINT):
        yield f"raised: {trace[-600:]}"


# --- the log ------------------------------------------------------------------------------------------


def _look_into(log: str, steps: list[int], fault: Fault, told: Told, outcome: Outcome) -> None:
    folder = Path(log) if Path(log).exists() else told.place / "run"  # where its spool is gone, it was copied to
    run = diagnose.load(folder)
    losses = run.scalar("loss/train")
    kept = {} if losses is None else dict(zip(losses.steps.tolist(), losses.values.tolist(), strict=True))
    outcome.logged = max(outcome.logged, len(kept))
    outcome.lost += sum(kept.get(step) != np.float32(float.fromhex(told.losses[step])) for step in steps
                        if step in told.losses and told.losses[step] != "nan")  # fmt: skip
    outcome.wrong += _repeated(folder)
    if fault.leaves in {"all", "closed"} and told.losses:
        outcome.wrong += _unclosed(run, fault)
    if fault.leaves == "all" and "another" not in log:  # that one has a model of its own, and no loss
        outcome.wrong += _miscounted(run, len(kept), len(told.losses))


def _repeated(folder: Path) -> Iterator[str]:
    """What stands in the log more than once: a process that is forked off must not write what its parent writes."""
    times: Counter[int | str] = Counter()
    for file in folder.glob(f"*{layout.FILE_MARK}*"):
        for record in records(file.read_bytes(), Damage()):
            event = Event.FromString(record.content)
            tags = {value.tag for value in event.summary.value}
            times.update([event.step] if "loss/train" in tags else [])
            times.update(tags & {layout.CLOSED_TAG})
    if twice := [what for what, count in times.items() if count > 1]:
        yield f"more than once in the log: {twice[:5]}"


def _unclosed(run: diagnose.Run, fault: Fault) -> Iterator[str]:
    if run.ending is None:
        yield "the log was not closed"
    elif not re.fullmatch(fault.told_as, run.ending.told):
        yield f"the log says {run.ending.told!r} of the end"


def _miscounted(run: diagnose.Run, kept: int, trained: int) -> Iterator[str]:
    told_of = run.scalar(layout.DROPPED_TAG)
    dropped = int(told_of.values[-1]) if told_of is not None else 0
    if kept + dropped != trained:
        yield f"{trained} steps trained, {kept} in the log, {dropped} counted as dropped"


def _misread(log: Path, name: str, readers: Readers, *, some: bool) -> Iterator[str]:
    """What of `diagnose report` and the dashboard does not work on the log.

    Where no step was flushed yet, the one says so in a sentence and the other has the run in its list.
    """
    if not log.exists():
        return
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main(["report", str(log)])
    if code not in ({cli.HEALTHY, cli.ILL} if some else {cli.UNUSABLE}):
        yield f"diagnose report: {said.getvalue()[-300:]}"
    entry = readers.store.entry(name)
    if entry is None or (some and entry.diagnosis is None):
        yield f"the dashboard's list: {'not there' if entry is None else entry.problem}"
    for kind in ("html", "json") if some else ():
        answer = readers.dashboard.get(f"/report?name={quote(name)}&format={kind}")
        if answer.status_code != 200:
            yield f"the dashboard's report as {kind}: {answer.status_code}"
