"""Right, wrong and missed: how a detector that claims to know some symptoms is counted on runs whose truth is known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Truth:
    """What holds for a run: `symptoms` showed, `also` are consequences that count neither way."""

    symptoms: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Score:
    """Counts over runs; a ratio of nothing to nothing is None, for it tells nothing."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    excused: int = 0  # not named, but another symptom of the same run was

    @property
    def precision(self) -> float | None:
        """right / (right + wrong)"""
        return ratio(self.right, self.right + self.wrong)

    @property
    def recall(self) -> float | None:
        """right / (right + missed): of runs that show several symptoms any one will do."""
        return ratio(self.right, self.right + self.missed)

    @property
    def strict_recall(self) -> float | None:
        """right / (right + missed + excused): each symptom that showed has to be named."""
        return ratio(self.right, self.right + self.missed + self.excused)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall: 2 right / (2 right + wrong + missed)."""
        return ratio(2 * self.right, 2 * self.right + self.wrong + self.missed)


def ratio(part: int, whole: int) -> float | None:
    """part / whole, None where the whole is 0."""
    return part / whole if whole else None


def scored(symptom: str, runs: Iterable[tuple[Truth, Collection[str]]]) -> Score:
    """One symptom over runs, each with its truth and the symptoms that were named."""
    right = wrong = missed = excused = 0
    for truth, named in runs:
        if symptom in truth.symptoms:
            right += symptom in named
            any_named = bool(truth.symptoms & set(named))
            missed += not any_named
            excused += symptom not in named and any_named
        elif symptom not in truth.also:
            wrong += symptom in named
    return Score(right, wrong, missed, excused)


def scored_claim(claims: Collection[str], runs: Iterable[tuple[Truth, bool]]) -> Score:
    """A rule that knows `claims` only as one: right where it fired and any of them showed."""
    right = wrong = missed = 0
    known = set(claims)
    for truth, fired in runs:
        if known & truth.symptoms:
            right += fired
            missed += not fired
        elif not known & truth.also:
            wrong += fired
    return Score(right, wrong, missed)


def macro_f1(scores: Iterable[Score]) -> float | None:
    """Mean F1 over the symptoms that some run shows, each counting alike."""
    shown = [score.f1 or 0.0 for score in scores if score.right + score.missed + score.excused]
    return mean(shown)


def mean(values: Sequence[float]) -> float | None:
    """The mean, None of nothing."""
    return sum(values) / len(values) if values else None
