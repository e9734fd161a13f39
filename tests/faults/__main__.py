"""The campaign's table: python -m tests.faults [--only PATTERN] [--share 0.1] [--first-seed 0]

Of each fault: how often it was tried, and how often the training had not begun yet; how often that went its way (the
same losses as the plain training, bit for bit; the ending that it would have had; no warning but the one that is due; a
log that is closed as it should be, holds nothing twice, counts what was dropped, and is read by the report and the
dashboard), and how many records were missing from the log that a flush had brought out of the process. What cannot be
tried here has a row that says why. `--share` tries each fault that part of its times, once at least.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from itertools import groupby

from tests.faults.campaign import campaign, obstacle
from tests.faults.faults import FAULTS, Fault
from tests.faults.judging import Outcome

HEADS = (
    "fault",
    "tried",
    "before the first step",
    "survived",
    "records lost beyond the last flush",
    "steps trained, not yet in the log",
)


def main() -> int:
    """Print the table; the exit code says whether all survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="PATTERN", help="faults in whose name this is found")
    parser.add_argument("--first-seed", type=int, default=0, help="for another part of the same instants")
    parser.add_argument("--share", type=float, default=1.0, help="of the times that each fault is tried")
    options = parser.parse_args()
    asked = [fault for name, fault in FAULTS.items() if re.search(options.only, name)]
    print(_row(HEADS), _row(["---"] * len(HEADS)), sep="\n", flush=True)
    sound = True
    with campaign() as one:
        for kind, faults in groupby(asked, _kind):
            outcomes = []
            for fault in faults:
                if why := obstacle(fault):
                    print(_row([fault.name, why, *["–"] * (len(HEADS) - 2)]), flush=True)
                    continue
                times = max(round(fault.times * options.share), 1)
                for seed in range(options.first_seed, options.first_seed + times):
                    outcomes.append(outcome := one.attempt(fault, seed))
                    told = "; ".join(outcome.wrong) or "survived"
                    print(f"{fault.name}, seed {seed}: {told}, {outcome.lost} lost", file=sys.stderr, flush=True)
            if outcomes:
                print(_row(_figures(kind, outcomes)), flush=True)
            sound &= all(not outcome.wrong and not outcome.lost for outcome in outcomes)
    return 0 if sound else 1


def _kind(fault: Fault) -> str:
    return (
        "an exception in one function of ours"
        if fault.name.startswith("an exception in ") and "." in fault.name
        else fault.name
    )


def _figures(kind: str, outcomes: list[Outcome]) -> list[object]:
    open_steps = sorted(max(one.trained - one.logged, 0) for one in outcomes)
    survived = sum(not one.wrong and one.trained > 0 for one in outcomes)
    early = sum(not one.trained for one in outcomes)
    return [kind, len(outcomes), early, survived, sum(one.lost for one in outcomes), f"{open_steps[-1]} at most"]


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    sys.exit(main())
