"""Which difference of the set-up explains the difference of the outcome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import Final

from diagnose.causes import known_causes
from diagnose.comparing.settings import Difference
from diagnose.diagnosis import Cause, Change, Diagnosis
from diagnose.facts import RANKS
from diagnose.prescriptions.couplings import GRAPH
from diagnose.prescriptions.scaling import adaptive_lr_for_batch
from diagnose.prescriptions.settings import Settings, settings_of
from diagnose.reports.numbers import percent, shown

KEPT = 1.3  # times what a coupling asks for, either way: settings are chosen in round numbers
BROKEN, BROKEN_BUT_WELL = (
    0.5,
    0.25,
)  # how much a coupling explains that was not followed, in an ill run and a healthy one
HALF_WAY = 0.5  # in the logarithm, of the way to the careful end: less is no following
ALONE = 0.6  # how much the only difference does
TOWARDS: Final = 0.9  # of the worse run's cause: its prescription moves the setting towards the other run's


@dataclass(frozen=True)
class Explanation:
    """One setting's part in the difference, the clearest having the largest `weight` (0 to 1)."""

    setting: str
    weight: float
    because: str
    sources: tuple[str, ...] = ()


def explanations(worse: Diagnosis, better: Diagnosis, differing: Sequence[Difference]) -> tuple[Explanation, ...]:
    """What explains that the one run is worse, the clearest first; each setting once."""
    every = [*_by_cause(worse, better), *_by_coupling(worse, better), *_alone(differing)]
    clearest: dict[str, Explanation] = {}
    for each in sorted(every, key=lambda explanation: -explanation.weight):
        clearest.setdefault(each.setting, each)
    return tuple(clearest.values())


def kept(a: Diagnosis, b: Diagnosis) -> tuple[str, ...]:
    """The couplings that both runs keep, one sentence each."""
    return tuple(
        f"{each.target} followed {each.source}, as it should ({', '.join(each.sources)})."
        for each in _followings(settings_of(a.run), settings_of(b.run))
        if each.kept
    )


def _by_cause(worse: Diagnosis, better: Diagnosis) -> Iterator[Explanation]:
    """The prescription of the worse run moves a setting that differs, towards the value that the better one has."""
    other = settings_of(better.run)
    for change in worse.prescription.changes:
        value, cause = other.values.get(change.setting), _asking(change, worse)
        if cause is None or value is None or not _towards(change, value):
            continue
        yield Explanation(
            change.setting,
            TOWARDS * cause.probability,
            f"A cause of the worse run is “{cause.title}” ({percent(cause.probability)}); it asks for "
            f"{change.setting} to go from {shown(change.before)} to {shown(change.after)}, and the better run has "
            f"{shown(value)}.",
            change.sources,
        )


def _asking(change: Change, diagnosis: Diagnosis) -> Cause | None:
    """The likeliest cause that has this change, or the one it follows, among its remedies."""
    remedy = change.coupled_to or change.remedy
    return next((cause for cause in diagnosis.causes if remedy in known_causes()[cause.id].remedies), None)


def _towards(change: Change, value: object) -> bool:
    before, after = change.before, change.after
    if isinstance(value, int | float) and isinstance(before, int | float) and isinstance(after, int | float):
        return (after - before) * (value - before) > 0
    return isinstance(value, str) and value == after != before


def _by_coupling(worse: Diagnosis, better: Diagnosis) -> Iterator[Explanation]:
    """A setting that did not follow where another moved."""
    for each in _followings(settings_of(better.run), settings_of(worse.run)):
        if each.broken:
            yield Explanation(
                each.target,
                BROKEN_BUT_WELL if worse.healthy else BROKEN,
                f"From the better run to the worse {each.source} changed, and {each.target} should have followed to "
                f"{shown(each.wanted)}; it is {shown(each.has)}.",
                each.sources,
            )


@dataclass(frozen=True)
class _Following:
    """A coupling whose source differs: what the target had, what was `wanted` (from a careful end on), what it has."""

    source: str
    target: str
    sources: tuple[str, ...]
    had: float | None
    careful: float
    wanted: float
    has: float

    @property
    def broken(self) -> bool:
        """Whether the target lies outside of what was asked for, and what lies near."""
        low, high = sorted((self.careful, self.wanted))
        return not low / KEPT <= self.has <= high * KEPT

    @property
    def kept(self) -> bool:
        """Whether it lies inside, and went there: half of the way at least."""
        if self.broken or not self.had or self.had <= 0:
            return False
        way, gone = log(self.careful / self.had), log(self.has / self.had)
        return gone / way >= HALF_WAY if way else False


def _followings(before: Settings, after: Settings) -> Iterator[_Following]:
    for coupling in GRAPH:
        source, has = _moved(coupling.source, before, after), after.number(coupling.target)
        if source is None or not has or has <= 0:
            continue
        wanted = coupling.follow(before, after.with_(coupling.target, before.values.get(coupling.target)))
        if not isinstance(wanted, int | float) or wanted <= 0:
            continue
        careful = _careful(source, coupling.target, before, after) or wanted
        had = before.number(coupling.target)
        yield _Following(source, coupling.target, coupling.sources, had, careful, float(wanted), has)


def _moved(source: str, before: Settings, after: Settings) -> str | None:
    """The source, where it differs; the ranks, where they alone change what a step sees: as accumulation does."""
    if after.values.get(source) is not None and after.values[source] != before.values.get(source):
        return source
    alone = before.ranks != after.ranks and before.number("batch_size") == after.number("batch_size")
    return RANKS if source == "accumulation_steps" and alone else None


def _careful(source: str, target: str, before: Settings, after: Settings) -> float | None:
    """The careful end of what the batch asks of the rate: its root (K08, K10)."""
    rate = before.number("lr")
    if target != "lr" or source not in ("batch_size", "accumulation_steps", RANKS) or not rate:
        return None
    return adaptive_lr_for_batch(rate, before.batch or 1.0, after.batch or 1.0)


def _alone(differing: Sequence[Difference]) -> Iterator[Explanation]:
    """The only setting that differs."""
    real = [each for each in differing if not each.incidental and each.told_by_both]
    if len(real) == 1:
        (only,) = real
        seeds = any(each.setting == "seed" for each in differing)
        caveat = " The seeds differ too, so a part of it may be chance." if seeds else ""
        told = f"It is the only setting that differs: {shown(only.a)} and {shown(only.b)}.{caveat}"
        yield Explanation(only.setting, ALONE, told)
