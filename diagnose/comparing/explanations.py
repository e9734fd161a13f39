"""Which difference of the set-up explains the difference of the outcome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from diagnose.comparing.settings import Difference
from diagnose.diagnosis import Change, Diagnosis
from diagnose.prescriptions.couplings import GRAPH
from diagnose.prescriptions.scaling import adaptive_lr_for_batch
from diagnose.prescriptions.settings import Settings, settings_of
from diagnose.reports.numbers import percent, shown

KEPT = 1.3  # times what a coupling asks for, either way: settings are chosen in round numbers
BROKEN, BROKEN_BUT_WELL = (
    0.5,
    0.25,
)  # how much a coupling explains that was not followed, in an ill run and a healthy one
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
        f"{target} followed {source}, as it should ({', '.join(sources)})."
        for source, target, sources, off in _couplings(settings_of(a.run), settings_of(b.run))
        if off is None
    )


def _by_cause(worse: Diagnosis, better: Diagnosis) -> Iterator[Explanation]:
    """The prescription of the worse run moves a setting that differs, towards the value that the better one has."""
    other = settings_of(better.run)
    shares = {cause.id: cause for cause in worse.causes}
    likeliest = next(iter(shares.values()), None)
    for change in worse.prescription.changes:
        value = other.values.get(change.setting)
        if likeliest is None or value is None or not _towards(change, value):
            continue
        yield Explanation(
            change.setting,
            TOWARDS * likeliest.probability,
            f"The worse run's likeliest cause is “{likeliest.title}” ({percent(likeliest.probability)}); it asks for "
            f"{change.setting} to go from {shown(change.before)} to {shown(change.after)}, and the better run has "
            f"{shown(value)}.",
            change.sources,
        )


def _towards(change: Change, value: object) -> bool:
    before, after = change.before, change.after
    if isinstance(value, int | float) and isinstance(before, int | float) and isinstance(after, int | float):
        return (after - before) * (value - before) > 0
    return isinstance(value, str) and value == after != before


def _by_coupling(worse: Diagnosis, better: Diagnosis) -> Iterator[Explanation]:
    """A setting that did not follow where another moved."""
    for source, target, sources, off in _couplings(settings_of(better.run), settings_of(worse.run)):
        if off is not None:
            wanted, has = off
            yield Explanation(
                target,
                BROKEN_BUT_WELL if worse.healthy else BROKEN,
                f"From the better run to the worse {source} changed, and {target} should have followed to "
                f"{shown(wanted)}; it is {shown(has)}.",
                sources,
            )


def _couplings(
    before: Settings, after: Settings
) -> Iterator[tuple[str, str, tuple[str, ...], tuple[float, float] | None]]:
    """Each coupling whose source differs: source, target, sources; what was wanted and is, None where it was kept."""
    for coupling in GRAPH:
        moved, has = after.values.get(coupling.source), after.number(coupling.target)
        if moved is None or moved == before.values.get(coupling.source) or not has:
            continue
        wanted = coupling.follow(before, after.with_(coupling.target, before.values.get(coupling.target)))
        if not isinstance(wanted, int | float) or wanted <= 0 or has <= 0:
            continue
        ends = sorted((wanted, *_careful(coupling.source, coupling.target, before, after)))
        off = not ends[0] / KEPT <= has <= ends[-1] * KEPT
        yield coupling.source, coupling.target, coupling.sources, (float(wanted), has) if off else None


def _careful(source: str, target: str, before: Settings, after: Settings) -> tuple[float, ...]:
    """The careful end of what the batch asks of the rate: its root (K08, K10)."""
    rate = before.number("lr")
    if target != "lr" or source not in ("batch_size", "accumulation_steps") or not rate:
        return ()
    return (adaptive_lr_for_batch(rate, before.batch or 1.0, after.batch or 1.0),)


def _alone(differing: Sequence[Difference]) -> Iterator[Explanation]:
    """The only setting that differs."""
    real = [each for each in differing if not each.incidental and each.told_by_both]
    if len(real) == 1:
        (only,) = real
        seeds = any(each.setting == "seed" for each in differing)
        caveat = " The seeds differ too, so a part of it may be chance." if seeds else ""
        told = f"It is the only setting that differs: {shown(only.a)} and {shown(only.b)}.{caveat}"
        yield Explanation(only.setting, ALONE, told)
