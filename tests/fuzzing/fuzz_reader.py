"""Mutated logs, read one after the other: python -m tests.fuzzing.fuzz_reader [--seconds 300] [--files 100000]

Each is read, examined and reported in a child process of limited memory. A crash is any exception that is none of
ours, the end of the process, or a difference between the two ways of reading event files; slow is more than a second of
the processor's time, memory more than 500 MB. Of the same --seed and number a log is always the same: --only NUMBER
reads one alone, -o FOLDER writes those that did harm. The exit status is 1 where one did, where a process died before
its first log, and where none was tried. In "both ways" were those event files that both readers read, and alike.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

from tests.fuzzing.mutating import LOGS, mutated
from tests.fuzzing.reading_one import HARM, Outcome, read_in_turn

PATIENCE_S: Final = 1800.0  # with a child that says nothing: one that is busy is ended much sooner by its own alarm
TOLD_S: Final = 60.0  # from one line of progress to the next

_context = multiprocessing.get_context("spawn")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", type=int, metavar="NUMBER")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    first, last = options.first, options.first + options.files
    if options.only is not None:
        first, last = options.only, options.only + 1
    outcomes = []
    told_s = time.monotonic()
    with suppress(KeyboardInterrupt):  # what was read so far is told all the same
        for one in fuzzed(options.seed, range(first, last), options.seconds, options.jobs):
            outcomes.append(one)
            if one.verdict in HARM:
                print(f"{one.verdict}: number {one.number}, {one.log}: {one.why}", flush=True)
                _write(options.output, options.seed, one)
            if time.monotonic() - told_s > TOLD_S:
                told_s = time.monotonic()
                print(f"{len(outcomes):,} logs so far", flush=True)
    print(f"\nSeed {options.seed}.\n\n{table(outcomes)}\n")
    for why, count in Counter(f"{one.verdict}: {one.why}" for one in outcomes if one.verdict in HARM).most_common():
        print(f"{count} × {why}")
    if not any(one.number >= 0 for one in outcomes):
        print("Not one log was tried.")
        return 1
    return int(any(one.verdict in HARM for one in outcomes))


@dataclass
class _Child:
    process: Any
    wire: Connection
    busy_with: tuple[int, str] = (-1, "")  # number and log
    done: bool = False
    heard_s: float = field(default_factory=time.monotonic)


def fuzzed(seed: int, numbers: range, seconds: float, jobs: int) -> Iterator[Outcome]:
    """The outcome of each log, as they come, for so long. A child that ends is replaced behind what ended it."""
    until = time.time() + seconds
    children = [_child(seed, numbers[job::jobs], until) for job in range(min(jobs, len(numbers)))]
    while children:
        ready = wait([each.wire for each in children], timeout=1.0)
        for each in list(children):
            if each.wire not in ready:
                if time.monotonic() - each.heard_s > PATIENCE_S:
                    each.process.kill()
                continue
            each.heard_s = time.monotonic()
            try:
                told = each.wire.recv()
            except EOFError:
                each.process.join()
                children.remove(each)
                if each.done:
                    continue
                number, log = each.busy_with
                yield Outcome(number, log, "crash", f"the process ended with {each.process.exitcode}")
                if number >= 0:
                    children.append(_child(seed, range(number, numbers.stop, jobs)[1:], until))
                continue
            if isinstance(told, tuple) and not isinstance(told, Outcome):
                each.busy_with = told
            elif told is None:
                each.done = True
            else:
                yield told


def _child(seed: int, numbers: range, until: float) -> _Child:
    ours, theirs = _context.Pipe(duplex=False)
    process = _context.Process(target=read_in_turn, args=(theirs, seed, numbers, until), daemon=True)
    process.start()
    theirs.close()
    return _Child(process, ours)


def table(outcomes: Sequence[Outcome]) -> str:
    """What came of them, in Markdown."""
    lines = [
        "| log | tried | refused | read | examined | both ways | crashes | over 1 s | over 500 MB | slowest | memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for log in (*LOGS, ""):
        own = [one for one in outcomes if log in {"", one.log}]
        if not own:
            continue
        counts = Counter(one.verdict for one in own)
        numbers = [len(own), counts["refused"], counts["read"], sum(one.examined for one in own)]
        numbers += [sum(one.compared for one in own)]
        numbers += [counts[verdict] for verdict in HARM]
        slowest, most = max(one.seconds for one in own), max(one.peak_mb for one in own)
        cells = [log or "all", *(f"{number:,}" for number in numbers), f"{slowest:.2f} s", f"{most:.0f} MB"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _write(folder: Path | None, seed: int, one: Outcome) -> None:
    if folder is None or one.number < 0:  # a sound log lies in fixtures/seeds
        return
    place = folder / str(one.number)
    place.mkdir(parents=True, exist_ok=True)
    for name, content in mutated(seed, one.number).items():
        (place / name).write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
