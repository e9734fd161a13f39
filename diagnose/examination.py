"""The examination: from a run to its diagnosis."""

from __future__ import annotations

import os
from collections.abc import Sequence

from diagnose import causes, setup_rules, symptoms
from diagnose.diagnosis import Cause, Diagnosis
from diagnose.errors import NoRunError
from diagnose.findings import Finding
from diagnose.logs.loading import load
from diagnose.prescriptions.planner import plan
from diagnose.run import Run
from diagnose.signals import GRAD_NORM, LAYER_ACTIVATION_VARIANCE, LAYER_GRAD_NORM, LR, TRAIN_LOSS, VALIDATION_LOSS

WOULD_TELL = {
    TRAIN_LOSS: "how training itself goes, and whether validation parts from it",
    VALIDATION_LOSS: "whether the model overfits, and which step was best",
    LR: "whether the learning rate fits its optimizer, and which schedule ran",
    GRAD_NORM: "whether gradients explode, vanish or drown in noise",
    LAYER_GRAD_NORM: "whether the first layers learn, and which layer trouble starts in",
    LAYER_ACTIVATION_VARIANCE: "whether signals survive the depth of the network",
}


def examine(run: Run | str | os.PathLike[str]) -> Diagnosis:
    """Find what is wrong with a run, why, and what to change.

    Takes a `Run` or the path of one. Raises `NoRunError` where the path holds no run, or where the run
    has no loss under any name that we know.
    """
    if not isinstance(run, Run):
        run = load(run)
    if run.scalar(TRAIN_LOSS) is None and run.scalar(VALIDATION_LOSS) is None:
        raise NoRunError(_no_loss(run))
    found = [*symptoms.find(run), *setup_rules.find(run)]
    ranked = causes.ranked(found, run)
    found.sort(key=lambda finding: _telling_first(finding, ranked))
    return Diagnosis(
        run=run,
        findings=tuple(found),
        causes=ranked,
        prescription=plan(ranked, found, run),
        missing={name: told for name, told in WOULD_TELL.items() if _missing(run, name)},
    )


def _telling_first(finding: Finding, ranked: Sequence[Cause]) -> tuple[int, float, float]:
    """Worst first; among equals, what speaks most for the likeliest cause: the rest is often its consequence."""
    lines = ranked[0].evidence if ranked else ()
    weight = max((line.log_odds for line in lines if line.finding == finding.id), default=0.0)
    return (-finding.severity.rank, -weight, -finding.confidence)


def _missing(run: Run, name: str) -> bool:
    return run.scalar(name) is None and run.per_layer(name) is None


def _no_loss(run: Run) -> str:
    shown = ", ".join(run.unmapped[:5]) + (" …" if len(run.unmapped) > 5 else "")
    holds = f"it holds {len(run.unmapped)} other scalar(s): {shown}" if run.unmapped else "it holds no scalar at all"
    told = f"No loss in {run.path}: looked for names such as loss/train, train_loss or val_loss; {holds}."
    return " ".join([told, *run.notes[:3]])  # several runs side by side, for one
