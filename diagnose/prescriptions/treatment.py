"""Treating a training: diagnose it, put the prescription into its config, train again, until it is healthy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Final, Literal

from diagnose.diagnosis import Change, Diagnosis
from diagnose.errors import InvalidArgumentError
from diagnose.examination import examine
from diagnose.prescriptions.applying import apply
from diagnose.run import Run
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

Train = Callable[[dict[str, Any]], "str | os.PathLike[str]"]
Stopped = Literal["healthy", "nothing left to change", "rounds used up", "budget used up", "going round in circles"]
HEALTHY_RANK: Final = -1


@dataclass(frozen=True)
class Round:
    """One training: its config, what was found, and what was changed for the next.

    `made` are the changes that went into the next round's config, `left` those that it has no place for or that a
    person has to make; both are empty in the last round if it ended healthy. `seconds` is how long it trained.
    """

    config: Mapping[str, Any]
    diagnosis: Diagnosis
    made: tuple[Change, ...] = ()
    left: tuple[Change, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Treatment:
    """All rounds in order, the first being the training as it was, and why no more followed."""

    rounds: tuple[Round, ...]
    stopped: Stopped

    @property
    def cured(self) -> bool:
        """Whether the best round is healthy, and the first was not."""
        return self.best.diagnosis.healthy and not self.rounds[0].diagnosis.healthy

    @property
    def best(self) -> Round:
        """The healthiest round; among equals the one whose validation loss ends lowest, else its training loss."""
        return min(self.rounds, key=lambda one: (_rank(one.diagnosis), _end(one.diagnosis.run)))

    def to_markdown(self) -> str:
        """What each round was given, what it showed, and before against after."""
        from diagnose.reports.treatment import as_markdown

        return as_markdown(self)

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


def treat(
    train: Train,
    config: Mapping[str, Any],
    rounds: int = 3,
    *,
    budget: float | None = None,
    on_round: Callable[[Round], None] | None = None,
) -> Treatment:
    """Train, diagnose, apply the prescription and train again, at most `rounds` times after the first.

    `train(config) -> run_dir` is yours: it trains with the settings in `config` and returns the folder of its log,
    another one each time. Only settings that `config` holds are changed, under its own names; hold those that are
    switched off as None (`"max_norm": None`), so that they can be switched on. `budget` is in seconds: no training is
    begun that would probably end beyond it. `on_round` is called after each diagnosis; without it a line about it
    goes to the terminal.

    Raises `InvalidArgumentError` where `train` returns a folder that an earlier round wrote to, or `rounds` is
    negative; what `train` itself raises passes through.
    """
    if rounds < 0:
        raise InvalidArgumentError(f"treat(rounds={rounds}): 0 or more are needed.")
    tell, begun = on_round or _tell, time.monotonic()
    done: list[Round] = []
    now = dict(config)
    while True:
        done.append(_trained(train, now, done))
        applied = apply(done[-1].diagnosis.prescription, now)
        healthy = done[-1].diagnosis.healthy
        done[-1] = Round(now, done[-1].diagnosis, () if healthy else applied.made, applied.left, done[-1].seconds)
        tell(done[-1])
        stopped = _why_stop(done, applied.config, rounds, _left(budget, begun))
        if stopped is not None:
            return Treatment(tuple(done), stopped)
        now = applied.config


def _trained(train: Train, config: dict[str, Any], done: list[Round]) -> Round:
    began = time.monotonic()
    run_dir = os.fspath(train(dict(config)))
    seconds = time.monotonic() - began
    if any(_same_place(run_dir, one.diagnosis.run.path) for one in done):
        raise InvalidArgumentError(f"treat: train() returned {run_dir} a second time; each training needs its own.")
    return Round(config, examine(run_dir), seconds=seconds)


def _same_place(one: str, other: str) -> bool:
    return one == other or ("://" not in one + other and Path(one).resolve() == Path(other).resolve())


def _left(budget: float | None, begun: float) -> float:
    return inf if budget is None else budget - (time.monotonic() - begun)


def _why_stop(done: list[Round], following: Mapping[str, Any], rounds: int, seconds: float) -> Stopped | None:
    if done[-1].diagnosis.healthy:
        return "healthy"
    if not done[-1].made:
        return "nothing left to change"
    if len(done) > rounds:
        return "rounds used up"
    if any(one.config == following for one in done):
        return "going round in circles"
    return "budget used up" if seconds < done[-1].seconds else None


def _rank(diagnosis: Diagnosis) -> int:
    return HEALTHY_RANK if diagnosis.healthy or diagnosis.worst is None else diagnosis.worst.rank


def _end(run: Run) -> float:
    """The last finite value of the loss that says most."""
    series = run.scalar(VALIDATION_LOSS) or run.scalar(TRAIN_LOSS)
    return float(series.finite.values[-1]) if series is not None and len(series.finite) else inf


def _tell(done: Round) -> None:
    from rich.console import Console

    from diagnose.reports.treatment import line

    Console(stderr=True).print(line(done), highlight=False, markup=False)
