"""A halt: training stopped for a finding, on all ranks at the same step, and what is told then."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch.distributed as dist

from diagnose.errors import TrainingHalted
from diagnose.examination import examine
from diagnose.findings import Finding, Severity
from diagnose.hooks.collectives import has_other_ranks
from diagnose.hooks.guard import Guard

LEAD = 50  # steps from a finding to the halt of several ranks: their hosts may be some apart while devices lag behind
EVERY = 10  # steps between two looks whether rank 0 has found anything

_numbers: Counter[str] = Counter()  # of the trainings by name: ranks attach in the same order


class Halting:
    """Of one training: for which symptoms it is to be halted, and when.

    Rank 0 alone knows of findings, and one rank that stopped alone would keep the others waiting for ever. So it
    leaves word in the store that the ranks have met by, of a step that none of them has reached. Nobody ever waits
    for anyone: a rank that was not attached is asked for nothing.
    """

    def __init__(self, symptoms: frozenset[str], name: str, guard: Guard) -> None:
        self._symptoms = symptoms
        self.instead: Callable[[Finding], None] | None = None  # of raising
        self._guard = guard
        self._word = f"diagnose/halt/{name}/{_numbers[name]}"
        self._appointment: tuple[int, Finding] | None = None
        self._is_kept = False
        if symptoms:
            _numbers[name] += 1

    def ask(self, finding: Finding, step: int) -> None:
        """Halt at `step`, if it is to be halted for that finding, or when all ranks can. The first one counts."""
        if finding.id in self._symptoms and self._appointment is None:
            self._appointment = step, finding
            if has_other_ranks():
                self._guard.run("halting on all ranks", self._leave_word, finding, step + LEAD)

    def due(self, step: int) -> Finding | None:
        """For what this rank halts at `step`."""
        if not self._symptoms:
            return None
        if self._appointment is None and not self._is_kept and step % EVERY == 0 and has_other_ranks():
            self._guard.run("halting on all ranks", self._look)
        if self._appointment is None or step < self._appointment[0]:
            return None
        _, finding = self._appointment
        self._appointment, self._is_kept = None, True
        return finding

    def _leave_word(self, finding: Finding, step: int) -> None:
        told = {**asdict(finding), "severity": finding.severity.value}
        dist.distributed_c10d._get_default_store().set(self._word, json.dumps({"step": step, "finding": told}))
        self._appointment = step, finding

    def _look(self) -> None:
        store = dist.distributed_c10d._get_default_store()
        if not store.check([self._word]):
            return
        word = json.loads(store.get(self._word))
        told = word["finding"]
        whole = {
            "severity": Severity(told["severity"]),
            "window": tuple(told["window"]),
            "layers": tuple(told["layers"]),
        }
        self._appointment = word["step"], Finding(**{**told, **whole})


def halted(finding: Finding, directory: Path) -> TrainingHalted:
    """What a finding of the run in `directory` raises, its log being closed: with its diagnosis, if it has one.

    Only rank 0's has: the log is its own, and it may be closing it still.
    """
    if has_other_ranks() and dist.get_rank() > 0:
        return TrainingHalted(finding)
    try:
        diagnosis = examine(directory)
    except Exception:  # noqa: BLE001  the finding is known and must be told, whatever else cannot be
        diagnosis = None
    return TrainingHalted(finding, diagnosis)
