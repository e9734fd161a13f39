"""Treating a training: diagnose it, put the prescription into its config, train again, until it is healthy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, Final, Literal

from diagnose.diagnosis import Change, Diagnosis, Prescription
from diagnose.errors import InvalidArgumentError
from diagnose.examination import examine
from diagnose.logs.loading import load
from diagnose.prescriptions.applying import Applied, apply
from diagnose.prescriptions.planner import plan
from diagnose.prescriptions.titration import further
from diagnose.run import Run
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

Train = Callable[[dict[str, Any]], "str | os.PathLike[str]"]
Stopped = Literal["healthy", "nothing left to change", "rounds used up", "budget used up", "going round in circles"]
HEALTHY_RANK: Final = -1
LOWER = 0.01  # of the lowest validation loss so far: less is what one seed differs from the next


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
        return min(self.rounds, key=lambda one: (_rank(one), _end(one)))

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
    switched off as None (`"max_norm": None`), so that they can be switched on. Where a prescription has no place in
    it, the next cause's is taken. Once a round is healthy, the rounds that are left take its dose further as long as
    the validation loss falls (`titration.py`). `budget` is in seconds: no training is begun that would probably end
    beyond it. `on_round` is called after each diagnosis; without it a line about it goes to the terminal.

    Raises `InvalidArgumentError` where `train` returns a folder that an earlier round wrote to, or `rounds` is
    negative; what `train` itself raises passes through.
    """
    if rounds < 0:
        raise InvalidArgumentError(f"treat(rounds={rounds}): 0 or more are needed.")
    tell, begun = on_round or _tell, time.monotonic()
    done: list[Round] = []
    now = dict(config)
    while True:
        run, seconds = _trained(train, now, done)
        diagnosis = examine(run)
        following = _following(diagnosis, now, done)
        done.append(Round(now, diagnosis, following.made, following.left, seconds))
        stopped = _why_stop(done, following.config, rounds, inf if budget is None else begun + budget)
        if stopped is not None:
            done[-1] = replace(done[-1], made=())
        tell(done[-1])
        if stopped is not None:
            return Treatment(tuple(done), stopped)
        now = following.config


def _trained(train: Train, config: dict[str, Any], done: Sequence[Round]) -> tuple[Run, float]:
    """The run, with what its log does not hold of the config, and the seconds that it took."""
    began = time.monotonic()
    run_dir = os.fspath(train(dict(config)))
    seconds = time.monotonic() - began
    if any(_same_place(run_dir, one.diagnosis.run.path) for one in done):
        raise InvalidArgumentError(f"treat: train() returned {run_dir} a second time; each training needs its own.")
    run = load(run_dir)
    return replace(run, setup=replace(run.setup, config={**config, **run.setup.config})), seconds


def _same_place(one: str, other: str) -> bool:
    return one == other or ("://" not in one + other and Path(one).resolve() == Path(other).resolve())


def _following(diagnosis: Diagnosis, config: Mapping[str, Any], done: Sequence[Round]) -> Applied:
    """The next config, from the likeliest cause for whose remedies the config has a place."""
    if diagnosis.healthy:
        made = done[-1].made if done else ()
        doses = (apply(Prescription(changes=dose), config) for dose in (further(diagnosis, made) if made else ()))
        return next((each for each in doses if each.made), Applied(dict(config), (), ()))
    first = apply(diagnosis.prescription, config)
    singly = (apply(plan([cause], diagnosis.findings, diagnosis.run), config) for cause in diagnosis.causes)
    return replace(next((each for each in (first, *singly) if each.made), first), left=first.left)


def _why_stop(done: Sequence[Round], following: Mapping[str, Any], rounds: int, until: float) -> Stopped | None:
    last, earlier = done[-1], done[:-1]
    well = [one for one in earlier if one.diagnosis.healthy]
    if well and not _better(_end(last), min(map(_end, well))):
        return "healthy"  # taking the dose further did not help
    over = len(done) > rounds or not last.made
    if last.diagnosis.healthy and (over or not earlier or time.monotonic() + last.seconds > until):
        return "healthy"
    if not last.made:
        return "nothing left to change"
    if over:
        return "rounds used up"
    if any(one.config == following for one in done):
        return "healthy" if last.diagnosis.healthy else "going round in circles"
    return "budget used up" if time.monotonic() + last.seconds > until else None


def _better(loss: float, best: float) -> bool:
    """Whether the loss, of either sign, is clearly lower."""
    return loss < best - LOWER * abs(best)


def _rank(one: Round) -> int:
    worst = one.diagnosis.worst
    return HEALTHY_RANK if one.diagnosis.healthy or worst is None else worst.rank


def _end(one: Round) -> float:
    """The last finite value of the loss that says most."""
    run = one.diagnosis.run
    series = run.scalar(VALIDATION_LOSS) or run.scalar(TRAIN_LOSS)
    return float(series.finite.values[-1]) if series is not None and len(series.finite) else inf


def _tell(done: Round) -> None:
    from rich.console import Console

    from diagnose.reports.treatment import line

    Console(stderr=True).print(line(done), highlight=False, markup=False)
