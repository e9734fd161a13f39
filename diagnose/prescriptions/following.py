"""Carrying changes through the coupling graph until nothing more is pulled."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from math import isclose
from typing import Final

from diagnose.diagnosis import Change, Setting
from diagnose.prescriptions.coupling import Coupling
from diagnose.prescriptions.couplings import GRAPH
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS
from diagnose.prescriptions.remedies import known_remedies
from diagnose.prescriptions.settings import Settings

SAME = 0.05  # relative: a smaller move is not worth a line
FACTORS: Final = frozenset({"lr", "steps"})  # what pulls these multiplies them, but for
STARTS_ANEW: Final = frozenset({"optimizer", "model"})  # after which they get a usual start
ORDER: Final = {name: place for place, name in enumerate(HYPERPARAMETERS)}
ROUNDED = 0.5  # what rounding to a whole number changes


def followers(leads: Sequence[Change], before: Settings, hold: Collection[str] = ()) -> Iterator[Change]:
    """Every change that `leads`, made together, pull along; each setting once, nearest to the leads first.

    A setting that has moved stays, and so do those in `hold`: so a cycle in the graph settles. One that several leads
    pull by factors moves by all of them. Values are rounded to three digits, clamped to the setting's sane range, and
    say so.
    """
    pulled = {change.setting: change for _, change in carried(leads, before, hold)}
    return (change for change in pulled.values() if change.after != change.before)


def carried(leads: Sequence[Change], before: Settings, hold: Collection[str] = ()) -> Iterator[tuple[Coupling, Change]]:
    """The same, each with the coupling that pulls it; once more where another lead pulls the same setting."""
    ordered = sorted(leads, key=lambda lead: ORDER.get(lead.setting, -1))  # in whatever order they were asked for
    front: list[tuple[Change, str]] = [(lead, lead.remedy) for lead in ordered]
    after, fixed = before, {lead.setting for lead in leads} | set(hold)
    for lead in leads:
        after = after.with_(lead.setting, lead.after)
    by: dict[str, list[tuple[Coupling, Change]]] = {}
    while front:
        moved, leader = front.pop(0)
        for coupling in GRAPH:
            if coupling.source != moved.setting or coupling.target in fixed:
                continue
            earlier = by.setdefault(coupling.target, [])
            if earlier and not (moved in leads and _is_a_factor_more(coupling, earlier)):
                continue
            pulled = _pulled(coupling, before, after, leader)
            if pulled is None:
                continue
            if earlier:
                pulled = _both(earlier[-1][1], pulled, after)
            else:
                front.append((pulled, leader))
            earlier.append((coupling, pulled))
            after = after.with_(pulled.setting, pulled.after)
            yield coupling, pulled


def _is_a_factor_more(coupling: Coupling, earlier: Sequence[tuple[Coupling, Change]]) -> bool:
    """Whether it multiplies what others have made of its target; the same formula would count one thing twice."""
    each = [coupling, *(other for other, _ in earlier)]
    anew = any(one.source in STARTS_ANEW for one in each)
    return coupling.target in FACTORS and not anew and all(coupling.follow is not one.follow for one in each[1:])


def _both(first: Change, second: Change, settings: Settings) -> Change:
    """One change by the factors of two: both are numbers, as their setting is one of FACTORS."""
    present = float(first.before or 0)
    wanted = float(first.after or 0) * float(second.after or 0) / present
    value, note = _sane(first.setting, wanted, settings)
    if _stays(present, wanted, value):
        return replace(first, after=first.before)
    remedy = known_remedies()[move_of(first.setting, first.before, value)]
    return replace(
        first, remedy=remedy.id, title=remedy.title, after=value, because=f"{first.because} {second.because}{note}",
        sources=tuple(dict.fromkeys((*first.sources, *second.sources))), watch=remedy.watch,
        refuted_by=remedy.refuted_by,
    )  # fmt: skip


def move_of(setting: str, before: Setting, after: Setting) -> str:
    """The id of the remedy that a move of `setting` is, empty where it has no name."""
    known = HYPERPARAMETERS.get(setting)
    if known is None:
        return "fit_temperature" if setting == "temperature" else ""
    if setting == "warmup_steps" and not before:
        return "add_warmup"
    if setting == "normalization" and str(before or "none") == "none":
        return "add_normalization"
    if isinstance(before, str) or isinstance(after, str):
        return known.switched or known.raised
    return known.raised if (after or 0) >= (before or 0) else known.lowered


def _pulled(coupling: Coupling, before: Settings, after: Settings, leader: str) -> Change | None:
    wanted = coupling.follow(before, after)
    present = before.values.get(coupling.target)
    if wanted is None or wanted == present:
        return None
    value, note = _sane(coupling.target, wanted, after)
    if _stays(present, wanted, value):
        return None
    remedy = known_remedies()[move_of(coupling.target, present, value)]
    return Change(
        remedy=remedy.id,
        title=remedy.title,
        setting=coupling.target,
        before=present,
        after=value,
        because=f"{coupling.because}{note}",
        sources=coupling.sources,
        coupled_to=leader,
        watch=remedy.watch,
        refuted_by=remedy.refuted_by,
    )


def _stays(present: Setting, wanted: Setting, value: Setting) -> bool:
    """Whether the sane range leaves a number where it is: nearly, or on the other side of it from what is wanted, where
    it was set beyond that range already.
    """
    if isinstance(present, str | bool | None) or isinstance(wanted, str | None) or isinstance(value, str | None):
        return False
    return isclose(value, present, rel_tol=SAME) or (value - present) * (wanted - present) < 0


def _sane(name: str, wanted: Setting, settings: Settings) -> tuple[Setting, str]:
    if not isinstance(wanted, int | float):
        return wanted, ""
    known = HYPERPARAMETERS.get(name)
    whole = known is not None and known.whole
    value = settings.clamped(name, wanted if whole else float(f"{wanted:.3g}"))
    note = "" if isclose(value, wanted, rel_tol=SAME) or (whole and abs(value - wanted) <= ROUNDED) else (
        f" (The formula gives {wanted:.3g}; {value:.3g} is as far as this setting sensibly goes.)"
    )  # fmt: skip
    return (int(value) if whole else value), note
