"""Rules about what a run should record so that it can be repeated."""

from __future__ import annotations

from diagnose.findings import Finding
from diagnose.run import Run
from diagnose.setup_rules import breach

__all__ = ["incomplete_record"]

WANTED = ("batch_size", "epochs", "dataset_size", "dataset_version", "seed")


def incomplete_record(run: Run) -> Finding | None:
    """Incomplete record: settings that a repetition needs are not in the log.

    Hyperparameters, metrics, dataset version and random seed belong to every run; pass them with
    `diagnose.attach(..., config={...})`. Source: K82 (deep-dive §8).
    """
    if not run.setup.model:  # another tool's log: there is nothing its user could have passed to us
        return None
    missing = [name for name in WANTED if name not in run.setup.config]
    if not missing:
        return None
    return breach(
        "incomplete_record",
        run,
        f"Not recorded: {', '.join(missing)}. Pass them in attach(config=...) so that the run can be repeated.",
        confidence=1.0,
        missing=", ".join(missing),
    )
