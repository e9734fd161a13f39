"""Carrying changes through the coupling graph until nothing more is pulled."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from math import isclose

from diagnose.diagnosis import Change, Setting
from diagnose.prescriptions.coupling import Coupling
from diagnose.prescriptions.couplings import GRAPH
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS
from diagnose.prescriptions.remedies import known_remedies
from diagnose.prescriptions.settings import Settings

SAME = 0.05  # relative: a smaller move is not worth a line
ROUNDED = 0.5  # what rounding to a whole number changes


def followers(leads: Sequence[Change], before: Settings, hold: Collection[str] = ()) -> Iterator[Change]:
    """Every change that `leads`, made together, pull along; each setting once, nearest to the leads first.

    A setting that has moved stays, and so do those in `hold`: so a cycle in the graph settles. Values are rounded to
    three digits, clamped to the setting's sane range, and say so.
    """
    return (change for _, change in carried(leads, before, hold))


def carried(leads: Sequence[Change], before: Settings, hold: Collection[str] = ()) -> Iterator[tuple[Coupling, Change]]:
    """The same, each with the coupling that pulls it."""
    after, front = before, [(lead, lead.remedy) for lead in leads]
    for lead in leads:
        after = after.with_(lead.setting, lead.after)
    settled = {lead.setting for lead in leads} | set(hold)
    while front:
        moved, leader = front.pop(0)
        for coupling in GRAPH:
            if coupling.source != moved.setting or coupling.target in settled:
                continue
            pulled = _pulled(coupling, before, after, leader)
            if pulled is None:
                continue
            settled.add(pulled.setting)
            after = after.with_(pulled.setting, pulled.after)
            front.append((pulled, leader))
            yield coupling, pulled


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
    if isinstance(value, int | float) and isinstance(present, int | float) and isclose(value, present, rel_tol=SAME):
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
