"""The ground that faulted trainings start from: torch is loaded once, and each training is a fork of it.

Reads one training a line, as JSON; tells the process, what that tells, and how it ended, a line each. A training ends
as a script does, with the interpreter: what is to happen at its exit happens.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path

from diagnose import setup_rules, symptoms
from tests.faults import faults
from tests.faults.scene import Scene, tell, tell_flushes, train

importlib.import_module("diagnose.hooks.monitor")
for package in (setup_rules, symptoms):
    for file in Path(package.__file__ or "").parent.glob("[a-z]*.py"):
        importlib.import_module(f"{package.__name__}.{file.stem}")


def main() -> None:
    """Start one training after the other, until there are no more."""
    while line := sys.stdin.readline():
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            place = Path(asked["place"])
            os.dup2(os.open(place / "stderr", os.O_WRONLY | os.O_CREAT, 0o600), 2)
            scene = Scene(place, asked["watched"], asked["steps"], asked["seed"])
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin without
            tell_flushes()
            faults.FAULTS[asked["fault"]].set_up(scene)
            train(scene)
            return
        tell(process=child)
        _, status = os.waitpid(child, 0)
        tell(ended=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
