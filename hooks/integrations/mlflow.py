"""MLflow: a run's diagnosis as tags, and its report as artifacts."""

from __future__ import annotations

import mlflow

from diagnose.errors import InvalidArgumentError
from diagnose.hooks.integrations.onward import Examined, diagnosis_of, summary_of
from diagnose.hooks.integrations.versions import expect

TESTED = ("3.17",)
MOST_TAG = 5_000  # characters; MLflow refuses more


def log_diagnosis(examined: Examined, run_id: str | None = None) -> None:
    """Add a diagnosis, or that of the run at a path, to an MLflow run, or to the one that is active.

    It goes to whatever store MLflow is set to. Raises `InvalidArgumentError` where no MLflow run is active.
    """
    expect("mlflow-skinny", *TESTED)
    active = mlflow.active_run()
    run_id = run_id or (active.info.run_id if active is not None else None)
    if run_id is None:
        raise InvalidArgumentError(
            "log_diagnosis(run_id=None): no MLflow run is active; call mlflow.start_run() first."
        )
    diagnosis = diagnosis_of(examined)
    client = mlflow.MlflowClient()
    for name, value in summary_of(diagnosis).items():
        client.set_tag(run_id, name.replace("/", "."), str(value)[:MOST_TAG])
    client.log_text(run_id, diagnosis.to_markdown(), "diagnose/report.md")
    client.log_text(run_id, diagnosis.to_html(), "diagnose/report.html")
    client.log_text(run_id, diagnosis.to_json(), "diagnose/report.json")
