"""The plan: the first ill stage, the likeliest causes' changes, and what is coupled to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from diagnose.causes import known_causes
from diagnose.diagnosis import Cause, Change, HeldBack, Prescription, Stage
from diagnose.findings import Finding, Severity
from diagnose.prescriptions.doses import dose_of
from diagnose.prescriptions.following import followers
from diagnose.prescriptions.remedies import known_remedies
from diagnose.prescriptions.settings import Settings, settings_of
from diagnose.run import Run

STAGES: Final[tuple[Stage, ...]] = ("stability", "generalisation", "refinement", "architecture")  # K80
LIKELY = 0.1  # causes under this share decide nothing
DECIDES = 0.3  # an earlier stage is ill, and comes first, where a cause of it is this likely (or the likeliest)
MOST_MOVES = 2  # K81: change one or two things at a time
SECOND_CAUSE = 0.2  # a second move needs a cause at least this likely
HELD: Final = {
    "enlarge_batch": ("lr", "weight_decay", "steps"),  # as many steps as before: fewer would be another change
    "shrink_batch": ("lr", "weight_decay"),
}
UNSTEADY: Final = frozenset({
    "nan_loss", "divergence", "oscillation", "loss_spikes", "late_instability", "unstable_curvature", "huge_updates",
    "exploding_gradients", "exploding_activations",
})  # fmt: skip


def plan(causes: Sequence[Cause], findings: Sequence[Finding], run: Run) -> Prescription:
    """The prescription for ranked causes: one or two moves of the first ill stage, the rest held back."""
    likely = [cause for cause in causes if cause.probability >= LIKELY]
    if not likely:
        return Prescription()
    deciding = [likely[0], *(cause for cause in likely[1:] if cause.probability >= DECIDES)]
    stage = min((known_causes()[cause.id].stage for cause in deciding), key=STAGES.index)
    changes = tuple(_moves([c for c in likely if known_causes()[c.id].stage == stage], findings, run))
    later = [cause for cause in likely if known_causes()[cause.id].stage != stage]
    return Prescription(stage, changes, tuple(_held_back(later, stage, changes, findings, run)))


def _moves(causes: Sequence[Cause], findings: Sequence[Finding], run: Run) -> Iterator[Change]:
    """Each cause's first remedy that applies (or as many as it has moves), and all that follows from it."""
    settings = replace(settings_of(run), unsteady=_unsteady(findings))
    settled: set[str] = set()
    moves = 0
    for rank, cause in enumerate(causes):
        if moves == MOST_MOVES or (rank and cause.probability < SECOND_CAUSE):
            return
        known = known_causes()[cause.id]
        own = 0
        for remedy in known.remedies:
            change = _change(remedy, findings, run)
            if change is None or change.setting in settled or own == known.moves or moves == MOST_MOVES:
                continue
            move = [change, *(f for f in _following(change, settings) if f.setting not in settled)]
            settled |= {part.setting for part in move}
            own, moves = own + 1, moves + 1
            yield from move


def _following(change: Change, settings: Settings) -> Iterator[Change]:
    """What the change pulls, seen from the value that it starts from; what its remedy holds stays.

    A batch is shrunk or enlarged to change the noise of a step at its rate: a rate that followed would undo that (K09).
    """
    seen = settings.with_(change.setting, change.before) if change.before else settings
    return followers([change], seen, hold=HELD.get(change.remedy, ()))


def _unsteady(findings: Sequence[Finding]) -> bool:
    return any(finding.id in UNSTEADY and finding.severity is not Severity.INFO for finding in findings)


def _change(remedy: str, findings: Sequence[Finding], run: Run) -> Change | None:
    dose = dose_of(remedy, run, findings)
    if dose is None:
        return None
    known = known_remedies()[remedy]
    return Change(
        remedy, known.title, dose.setting, dose.before, dose.after, dose.because, known.sources,
        watch=known.watch, refuted_by=known.refuted_by,
    )  # fmt: skip


def _held_back(
    causes: Sequence[Cause], stage: Stage, changes: Sequence[Change], findings: Sequence[Finding], run: Run
) -> Iterator[HeldBack]:
    """What later stages would ask for, as far as it applies to this run."""
    taken = {change.remedy for change in changes}
    for cause in causes:
        for remedy in known_causes()[cause.id].remedies:
            if remedy not in taken and dose_of(remedy, run, findings) is not None:
                taken.add(remedy)
                yield HeldBack(remedy, known_remedies()[remedy].title, stage)
