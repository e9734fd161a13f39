"""A prescription as moves: each change together with those that it pulls along (K81)."""

from __future__ import annotations

from dataclasses import dataclass

from diagnose.diagnosis import Change, Prescription


@dataclass(frozen=True)
class Move:
    """One thing to do: the change that leads and the changes coupled to it."""

    lead: Change
    coupled: tuple[Change, ...]


def moves_of(prescription: Prescription) -> tuple[Move, ...]:
    """The moves in the order in which they are prescribed."""
    leads = [change for change in prescription.changes if change.coupled_to is None]
    return tuple(
        Move(lead, tuple(change for change in prescription.changes if change.coupled_to == lead.remedy))
        for lead in leads
    )
