"""Weights & Biases: a run's diagnosis in its summary, and its findings as a table."""

from __future__ import annotations

from typing import Any

import wandb

from diagnose.errors import InvalidArgumentError
from diagnose.hooks.integrations.onward import FINDING_COLUMNS, Examined, diagnosis_of, finding_rows, summary_of
from diagnose.hooks.integrations.versions import expect

TESTED = ("0.31",)


def log_diagnosis(examined: Examined, run: Any = None) -> None:
    """Add a diagnosis, or that of the run at a path, to `run`, or to the one that is active.

    Nothing is sent but what `wandb` itself sends. Raises `InvalidArgumentError` where no W&B run is active.
    """
    expect("wandb", *TESTED)
    run = run if run is not None else wandb.run
    if run is None:
        raise InvalidArgumentError("log_diagnosis(run=None): no W&B run is active; call wandb.init() first.")
    diagnosis = diagnosis_of(examined)
    run.summary.update(summary_of(diagnosis))
    run.log({"diagnose/table": wandb.Table(columns=list(FINDING_COLUMNS), data=finding_rows(diagnosis))})
