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
    """The moves in the order in which they are prescribed.

    A change joins the move that its `coupled_to` stands in, be it as lead or as follower; one whose leader
    does not come before it leads a move of its own, so that no change is ever left out.
    """
    moves: list[list[Change]] = []
    for change in prescription.changes:
        joined = next((m for m in reversed(moves) if any(part.remedy == change.coupled_to for part in m)), None)
        if joined is None:
            moves.append([change])
        else:
            joined.append(change)
    return tuple(Move(lead, tuple(coupled)) for lead, *coupled in moves)
