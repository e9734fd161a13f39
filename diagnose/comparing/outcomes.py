"""What differs in the outcome of two runs, and whether by more than chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from diagnose.chance import VALIDATION_ACCURACY, accuracy
from diagnose.comparing import levels
from diagnose.comparing.levels import Level, Side, lower
from diagnose.diagnosis import Diagnosis, Setting
from diagnose.run import Run, Series
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

Comparable = Literal["all", "health and accuracy", "nothing"]
SEVERITIES = ("healthy", "info", "warning", "critical")
OF_FALL = 0.05  # of the larger fall: what two seeds of one set-up differ by (recorded sound runs)
OF_ACCURACY = 0.02  # two points in a hundred
OTHER_SCALE = 3.0  # times: first losses this far apart are of different things
HEALTH, ENDED, ACCURACY = "health", "ended", "validation accuracy at the end"


@dataclass(frozen=True)
class Outcome:
    """One result in both runs, each with the step at which it was reached where that says something.

    `noise` is how far apart the two might lie by chance, in the result's own unit; `better` names the side that is
    better beyond that, None where none is, where neither direction is better, or where they are not comparable.
    A value of None was not reached, or is no finite number.
    """

    name: str
    a: float | str | None
    b: float | str | None
    noise: float = 0.0
    better: Side | None = None
    step_a: int | None = None
    step_b: int | None = None
    unit: str = ""

    def at(self, side: Side) -> tuple[Setting, int | None]:
        """The value on that side and its step."""
        return (self.a, self.step_a) if side == "a" else (self.b, self.step_b)


def outcomes(a: Diagnosis, b: Diagnosis, comparable: Comparable) -> tuple[Outcome, ...]:
    """How both runs ended: health, losses and accuracy at the end and at their best, speed; in that order."""
    return tuple(_outcomes(a, b, comparable))


def comparable_losses(a: Run, b: Run) -> bool:
    """Whether the losses begin at about the same height, as those of one task do.

    A run that is thrown by its first steps begins there all the same; where a log lacks the loss nothing is known.
    """
    first = [_first(run) for run in (a, b)]
    if None in first or first[0] == first[1]:
        return True
    low, high = sorted(abs(value) for value in first if value is not None)
    return high <= OTHER_SCALE * low or high == 0


def _outcomes(a: Diagnosis, b: Diagnosis, comparable: Comparable) -> Iterator[Outcome]:
    ranks = [SEVERITIES.index(_health(each)) for each in (a, b)]
    health = None if comparable == "nothing" else lower(*ranks)
    yield Outcome(HEALTH, _health(a), _health(b), better=health)
    yield _ended(a.run, b.run, comparable)
    yield from _losses(a.run, b.run, comparable)
    yield from _accuracies(a.run, b.run, comparable)
    yield from _speed(a.run, b.run)
    yield Outcome("steps", float(a.run.length), float(b.run.length))


def _health(diagnosis: Diagnosis) -> str:
    return "healthy" if diagnosis.healthy or diagnosis.worst is None else diagnosis.worst.value


def _ended(a: Run, b: Run, comparable: Comparable) -> Outcome:
    broke = [levels.broke_at(run) for run in (a, b)]
    words = [
        "in order" if step is None and run.closed else "with a finite loss" if step is None else "with no finite loss"
        for run, step in zip((a, b), broke, strict=True)
    ]
    better = None if comparable == "nothing" else lower(*(step is not None for step in broke))
    return Outcome(ENDED, words[0], words[1], better=better, step_a=broke[0], step_b=broke[1])


def _losses(a: Run, b: Run, comparable: Comparable) -> Iterator[Outcome]:
    # A validation that begins after the first descent falls less than the run did.
    logged = [series for run in (a, b) for name in (TRAIN_LOSS, VALIDATION_LOSS) if (series := run.scalar(name))]
    chance = OF_FALL * max(map(levels.fall, logged), default=0.0)
    for name, signal, best in (
        ("training loss", TRAIN_LOSS, levels.lowest_level), ("validation loss", VALIDATION_LOSS, levels.lowest)
    ):  # fmt: skip
        one, other = a.scalar(signal), b.scalar(signal)
        if one is None or other is None:
            continue
        ranked = comparable == "all"
        yield _outcome(f"{name} at the end", levels.end(one), levels.end(other), chance, ranked=ranked)
        if len(one.finite) and len(other.finite):
            yield _outcome(f"best {name}", best(one), best(other), chance, ranked=ranked)
            if signal == TRAIN_LOSS and ranked:
                yield from _reaching(one, other, chance)


def _reaching(a: Series, b: Series, chance: float) -> Iterator[Outcome]:
    """Steps to where the worse run's loss ends, where both came down that far."""
    ends = levels.end(a), levels.end(b)
    level, noise = max(end.value for end in ends), levels.apart(*ends) + chance
    if not isfinite(level) or any(level >= levels.start(series) - noise for series in (a, b)):
        return
    taken = [levels.steps_to(series, level, noise) for series in (a, b)]
    better = lower(taken[0].latest, taken[1].earliest) == "a", lower(taken[0].earliest, taken[1].latest) == "b"
    yield Outcome(
        f"steps to a training loss of {level:.3g}",
        _shown(taken[0].steps),
        _shown(taken[1].steps),
        better="a" if better[0] else "b" if better[1] else None,
    )


def _accuracies(a: Run, b: Run, comparable: Comparable) -> Iterator[Outcome]:
    pair = accuracy(a.scalar(VALIDATION_ACCURACY)), accuracy(b.scalar(VALIDATION_ACCURACY))
    if pair[0] is not None and pair[1] is not None:
        ranked = comparable != "nothing"
        wrong = [levels.mirrored(series) for series in (pair[0], pair[1])]
        for name, of in ((ACCURACY, levels.end), ("best validation accuracy", levels.lowest)):
            yield _outcome(name, of(wrong[0]), of(wrong[1]), OF_ACCURACY, ranked=ranked, sign=-1.0)


def _speed(a: Run, b: Run) -> Iterator[Outcome]:
    pair = levels.speed(a), levels.speed(b)
    if pair[0] is not None and pair[1] is not None:
        chance = levels.OF_SPEED * max(abs(one.value) for one in pair if one is not None)
        yield _outcome("throughput", pair[0], pair[1], chance, ranked=True, sign=-1.0, unit="steps/s")


def _outcome(
    name: str, a: Level, b: Level, chance: float, *, ranked: bool, sign: float = 1.0, unit: str = ""
) -> Outcome:
    """`sign` is −1 for what is the better the higher; its levels are turned round, so that low is good."""
    noise = levels.apart(a, b) + chance
    better = lower(a.value, b.value, noise) if ranked else None
    return Outcome(name, _shown(a.value, sign), _shown(b.value, sign), noise, better, a.step, b.step, unit)


def _first(run: Run) -> float | None:
    series = run.scalar(TRAIN_LOSS) or run.scalar(VALIDATION_LOSS)
    return float(series.finite.values[0]) if series is not None and len(series.finite) else None


def _shown(value: float, sign: float = 1.0) -> float | None:
    return sign * value if isfinite(value) else None
