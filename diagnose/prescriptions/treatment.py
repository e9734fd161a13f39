"""Treating a training: diagnose it, put the prescription into its config, train again, until it is healthy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, isinf, prod
from pathlib import Path
from typing import Any, Final, Literal

from diagnose import curves
from diagnose.chance import VALIDATION_ACCURACY, accuracy
from diagnose.comparing.outcomes import OF_ACCURACY
from diagnose.diagnosis import Change, Diagnosis, Prescription
from diagnose.errors import InvalidArgumentError
from diagnose.examination import examine
from diagnose.logs.loading import load
from diagnose.prescriptions.applying import Applied, apply
from diagnose.prescriptions.planner import plan
from diagnose.prescriptions.titration import further, has_just_begun, is_overdone, times
from diagnose.run import Run
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

Train = Callable[[dict[str, Any]], "str | os.PathLike[str]"]
Stopped = Literal["healthy", "nothing left to change", "rounds used up", "budget used up", "going round in circles"]
HEALTHY_RANK: Final = -1
COSTS: Final[Mapping[str, int]] = {
    "steps": 1, "epochs": 1, "batch_size": 1, "accumulation_steps": 1, "depth": 1, "width": 2,
}  # fmt: skip
LOWER = 0.01  # of the lowest validation loss so far: less is what one seed differs from the next


@dataclass(frozen=True)
class Round:
    """One training: its config, what was found, and what was changed for the next.

    `made` are the changes that went into the next round's config, `left` those that it has no place for or that a
    person has to make; both are empty in the last round if a healthy one was found, and if none was while changes could
    have been made, `left` is its whole prescription. `seconds` is how long it trained.
    `origin` is the number of the round whose config this one's was made from; None in the first. `back_to` is the
    number of an earlier round, where the next one's config is made from that one's instead of this one's.
    """

    config: Mapping[str, Any]
    diagnosis: Diagnosis
    made: tuple[Change, ...] = ()
    left: tuple[Change, ...] = ()
    seconds: float = 0.0
    origin: int | None = None
    back_to: int | None = None


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
        """The healthiest round; among equals clearly the most accurate on validation data, else that of lowest loss.

        Clearly is what `compare` takes for a difference. The next dose starts from the lowest loss: it tells smaller
        steps apart.
        """
        rank = min(map(_rank, self.rounds))
        equals = [one for one in self.rounds if _rank(one) == rank]
        wrong = [_wrong(one) for one in equals]
        counted = [share for share in wrong if share is not None]
        if len(counted) == len(equals):
            equals = [one for one, share in zip(equals, counted, strict=True) if share <= min(counted) + OF_ACCURACY]
        return min(equals, key=_end)

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
    it, the next cause's is taken, if it is a tenth likely. Once a round is healthy, the rounds that are left take its
    dose further (`titration.py`), from the round whose validation loss ended lowest. `budget` is in seconds: no
    training is begun that would probably end beyond it. `on_round` is called after each diagnosis; without it a line
    about it goes to the terminal.

    Raises `InvalidArgumentError` where `train` returns a folder that an earlier round wrote to, or `rounds` is
    negative; what `train` itself raises passes through.
    """
    if rounds < 0:
        raise InvalidArgumentError(f"treat(rounds={rounds}): 0 or more are needed.")
    tell, begun = on_round or _tell, time.monotonic()
    done: list[Round] = []
    now, origin = dict(config), None
    while True:
        run, seconds = _trained(train, now, done)
        done.append(Round(now, examine(run), seconds=seconds, origin=origin))
        origin, following = _following(done)
        back_to = None if origin == len(done) - 1 else origin
        done[-1] = replace(done[-1], made=following.made, left=following.left, back_to=back_to)
        stopped = _why_stop(done, following.config, rounds, inf if budget is None else begun + budget)
        if stopped is not None:
            done[-1] = replace(done[-1], made=(), left=_left(done[-1], stopped), back_to=None)
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


def _following(done: Sequence[Round]) -> tuple[int, Applied]:
    """The next config, and the number of the round that it changes.

    Until one is healthy that is the last round, or the best where the last has made things worse, by the likeliest
    cause whose remedies have a place in the config and were not tried. Then it is the best of the healthy ones, by the
    first dose that was not tried. A last round that is ill of its dose alone gets another dose too, as does one whose
    rate is a usual start.
    """
    at, tried = _best_healthy(done), [one.config for one in done]
    if len(done) > 1:
        now, made = done[-1].diagnosis, done[-2].made
        at = len(done) - 1 if has_just_begun(now, made) or (at is None and is_overdone(now, made)) else at
    if at is not None:
        base = done[at]
        doses = further(base.diagnosis, done[at - 1].made) if at else ()
        each = (apply(Prescription(changes=dose), base.config) for dose in doses)
        untried = (applied for applied in each if applied.made and applied.config not in tried)
        return at, next(untried, Applied(dict(base.config), (), ()))
    last, back = len(done) - 1, min(range(len(done)), key=lambda number: (_rank(done[number]), _end(done[number])))
    for at in dict.fromkeys((back, last) if _worse(done[last], done[back]) else (last, back)):
        base = done[at]
        untried = (each for each in _prescribed(base) if each.made and each.config not in tried)
        if (following := next(untried, None)) is not None:
            return at, following
    return last, _first(done[last])


def _prescribed(base: Round) -> Iterator[Applied]:
    """What the round's prescription makes of its config, then what each of its causes' own does."""
    first = _first(base)
    yield first
    for cause in base.diagnosis.causes:
        only = plan([cause], base.diagnosis.findings, base.diagnosis.run)
        yield replace(apply(only, base.config), left=first.left)


def _first(base: Round) -> Applied:
    return apply(base.diagnosis.prescription, base.config)


def _worse(one: Round, other: Round) -> bool:
    """Whether a round is more ill, or as ill with a loss that ends clearly higher."""
    return _rank(one) > _rank(other) or (_rank(one) == _rank(other) and _better(_end(other), _end(one)))


def _best_healthy(done: Sequence[Round]) -> int | None:
    """The number of the healthy round whose loss ends lowest; of those that hardly differ the earliest."""
    best: int | None = None
    for number, one in enumerate(done):
        if one.diagnosis.healthy and (best is None or _better(_end(one), _end(done[best]))):
            best = number
    return best


def _why_stop(done: Sequence[Round], following: Mapping[str, Any], rounds: int, until: float) -> Stopped | None:
    last, well = done[-1], any(one.diagnosis.healthy for one in done)
    if not last.made:
        return "healthy" if well else "nothing left to change"
    if len(done) > rounds:
        return "healthy" if well else "rounds used up"
    if any(one.config == following for one in done):
        return "going round in circles"
    base = last if last.back_to is None else done[last.back_to]
    if time.monotonic() + base.seconds * _times_longer(last.made) > until:
        return "healthy" if well else "budget used up"
    return None


def _times_longer(made: Sequence[Change]) -> float:
    """How many times as long the changes make a training on a processor that was busy: steps or epochs, a batch whose
    steps stay as many, and layers in proportion, width by the square.
    """
    by = {change.setting: times(change) or 1.0 for change in made if change.setting in COSTS}
    if "epochs" in by:  # the same samples in other steps
        by = {name: factor for name, factor in by.items() if name not in ("steps", "batch_size", "accumulation_steps")}
    return prod(factor ** COSTS[name] for name, factor in by.items())


def _better(loss: float, best: float) -> bool:
    """Whether the loss, of either sign, is clearly lower."""
    return loss < best if isinf(best) else loss < best - LOWER * abs(best)


def _rank(one: Round) -> int:
    worst = one.diagnosis.worst
    return HEALTHY_RANK if one.diagnosis.healthy or worst is None else worst.rank


def _left(last: Round, stopped: Stopped) -> tuple[Change, ...]:
    """What is left to a person when no more trainings follow."""
    if stopped == "healthy":
        return ()
    return last.diagnosis.prescription.changes if last.made else last.left


def _wrong(one: Round) -> float | None:
    """The share of wrong answers on validation data at the end, all of them where it ended in no number; None where
    nobody counted.
    """
    logged = one.diagnosis.run.scalar(VALIDATION_ACCURACY)
    right = accuracy(logged)
    if right is None or logged is None:
        return None
    return 1 - curves.reduced(right).last_level if isfinite(logged.values[-1]) else 1.0


def _end(one: Round) -> float:
    """The level where the loss that says most ends; infinite where it is no number."""
    run = one.diagnosis.run
    series = run.scalar(VALIDATION_LOSS) or run.scalar(TRAIN_LOSS)
    if series is None or not len(series) or not isfinite(series.values[-1]):
        return inf
    return curves.reduced(series).last_level


def _tell(done: Round) -> None:
    from rich.console import Console

    from diagnose.reports.treatment import line

    Console(stderr=True).print(line(done), highlight=False, markup=False)
