"""Which difference of the set-up explains the difference of the outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final, Literal, NamedTuple

from diagnose.comparing.couplings import Coupled
from diagnose.comparing.implicated import implicated
from diagnose.comparing.settings import SEEDS, Difference
from diagnose.diagnosis import Diagnosis, Setting
from diagnose.logs.printable import printable
from diagnose.prescriptions.settings import settings_of
from diagnose.reports.numbers import shown

Kind = Literal["cause", "coupling", "alone", "chance"]

# How much a coupling explains that was not followed, in an ill run and in a healthy one.
BROKEN, BROKEN_BUT_WELL = 0.5, 0.25
ALONE = 0.6  # how much the only difference does
CODE, SEED, SURROUNDINGS = 0.4, 0.3, 0.2  # how much they do where no setting differs
TOWARDS = 0.9  # of a cause's probability: a remedy of it moves the setting towards the other run's value
CODE_NAMES: Final = ("git_commit", "script")
# Names of one and the same difference, the most telling first: together they count as one.
MODEL: Final = ("normalization", "activation", "model", "depth", "width", "parameters", "initial_gain")
PARTS: Final = ("layers: ", "layer ", "frozen_parameters")
SCHEDULE: Final = ("scheduler", "decay_steps", "warmup_steps", "lr_halved_at", "lr_at_the_end")
BATCH: Final = ("batch_size", "accumulation_steps", "dataset_size")


class Reason(NamedTuple):
    """One reason why a setting that differs explains the outcome, and how much it does (0 to 1)."""

    setting: str
    kind: Kind
    weight: float
    because: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """A setting that differs, and all that speaks for its part in the outcome, the strongest reason first."""

    setting: str
    reasons: tuple[Reason, ...]

    @property
    def weight(self) -> float:
        """How much it explains, 0 to 1: 1 − Π(1 − w) over its reasons, which are taken as independent."""
        return 1 - prod(1 - reason.weight for reason in self.reasons)

    @property
    def because(self) -> str:
        """The reasons as text."""
        return " ".join(reason.because for reason in self.reasons)

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the reasons' couplings and remedies are documented."""
        return tuple(dict.fromkeys(source for reason in self.reasons for source in reason.sources))


def explanations(
    worse: Diagnosis, better: Diagnosis, differing: Sequence[Difference], coupled: Iterable[Coupled]
) -> tuple[Explanation, ...]:
    """What explains that the one run is worse, the clearest first; each differing setting once.

    `coupled` is read from the better run to the worse.
    """
    reasons = [
        *_by_cause(worse, better, differing),
        *_by_coupling(worse, better, differing, coupled),
        *_alone(differing),
        *_by_chance(differing),
    ]
    by_setting: dict[str, list[Reason]] = {}
    for reason in sorted(reasons, key=lambda reason: -reason.weight):
        by_setting.setdefault(reason.setting, []).append(reason)
    every = [Explanation(name, tuple(told)) for name, told in by_setting.items()]
    return tuple(sorted(every, key=lambda explanation: -explanation.weight))


def independent(differing: Iterable[Difference]) -> list[Difference]:
    """The differences that do not follow from one another: one for a model's many numbers, one for a length."""
    real = {each.setting: each for each in differing if not each.incidental}
    told = list(real)
    if "batch_size" in real and "epochs" in real and "steps" not in real:
        told.remove("epochs")  # as many steps of another batch are other epochs
    if "steps" in real and ("epochs" in real or any(name in real for name in BATCH)):
        told.remove("steps")
    for names in (MODEL, SCHEDULE):
        one, *others = [name for name in names if name in told] or [""]
        told = [name for name in told if name not in others]
        if names is MODEL and one:
            told = [name for name in told if not name.startswith(PARTS)]
    parts = [name for name in told if name.startswith(PARTS)]
    return [real[name] for name in told if name not in parts[1:]]


def _by_cause(worse: Diagnosis, better: Diagnosis, differing: Sequence[Difference]) -> Iterator[Reason]:
    """A likely cause of the worse run concerns a setting that differs, and the better run has it as it should be."""
    for cause, setting, asks, sources in implicated(worse, better, differing):
        ill, well = _values(setting, worse, better, differing)
        yield Reason(
            setting,
            "cause",
            TOWARDS * cause.probability,
            f"A likely cause of the worse run is “{cause.title}” ({cause.probability:.0%}): {_named(setting)} is "
            f"{_shown(ill)} there and {_shown(well)} in the better run{asks}.".replace("%", " %"),
            sources,
        )


def _by_coupling(
    worse: Diagnosis, better: Diagnosis, differing: Sequence[Difference], coupled: Iterable[Coupled]
) -> Iterator[Reason]:
    """A setting that did not follow where another moved; the one that moved explains it where the other did not."""
    names = {each.setting for each in differing}
    before, after = settings_of(better.run), settings_of(worse.run)
    for one in coupled:
        if one.kept:
            continue
        moves = " and ".join(
            f"{name} goes from {_shown(before.values.get(name))} to {_shown(after.values.get(name))}"
            for name in one.sources
        )
        yield Reason(
            one.target if one.target in names and not one.stayed else one.sources[0],
            "coupling",
            BROKEN_BUT_WELL if worse.healthy else BROKEN,
            f"From the better run to the worse {moves}: {one.target} should have followed from {_shown(one.before)} "
            f"to {_shown(one.wanted)}, and {'stayed' if one.stayed else f'is {_shown(one.has)}'}.",
            one.citations,
        )


def _alone(differing: Sequence[Difference]) -> Iterator[Reason]:
    """The only setting that differs."""
    real = independent(differing)
    if len(real) == 1:
        (only,) = real
        yield Reason(
            only.setting,
            "alone",
            ALONE,
            f"It is the only setting that differs, {_shown(only.a)} in a and {_shown(only.b)} in b.{_caveat(differing)}",
        )


def _caveat(differing: Iterable[Difference]) -> str:
    names = {each.setting for each in differing}
    also = [word for word, group in (("seeds", SEEDS), ("versions of the code", CODE_NAMES)) if names & set(group)]
    return f" The {' and the '.join(also)} differ too, so a part of it may be theirs." if also else ""


def _by_chance(differing: Sequence[Difference]) -> Iterator[Reason]:
    """Where no setting differs, what runs of one set-up differ in too."""
    if any(not each.incidental for each in differing):
        return
    for each in differing:
        if each.setting in CODE_NAMES:
            yield Reason(each.setting, "chance", CODE, "No setting differs, and the code does.")
        elif each.setting in SEEDS:
            told = "No setting differs, and the seeds do: train with more seeds before you believe the difference."
            yield Reason(each.setting, "chance", SEED, told)
        elif each.setting in {"torch", "device"}:
            told = f"No setting differs, and {each.setting} does: {_shown(each.a)} in a, {_shown(each.b)} in b."
            yield Reason(each.setting, "chance", SURROUNDINGS, told)


def _values(
    setting: str, worse: Diagnosis, better: Diagnosis, differing: Iterable[Difference]
) -> tuple[Setting, Setting]:
    one = next(each for each in differing if each.setting == setting)
    return one.a, one.b


def _named(setting: str) -> str:
    return printable(setting)


def _shown(value: Setting) -> str:
    return printable(shown(value))
