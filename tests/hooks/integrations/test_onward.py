"""Diagnoses handed on to trackers that write to this machine alone."""

from __future__ import annotations

import json

import pytest

import diagnose

pytestmark = pytest.mark.slow


def test_mlflow_keeps_tags_to_search_by_and_the_report(framework, monkeypatch, tmp_path, ill):
    monkeypatch.chdir(tmp_path)
    mlflow = framework("mlflow")
    from diagnose.hooks.integrations.mlflow import log_diagnosis

    with pytest.raises(diagnose.InvalidArgumentError, match="no MLflow run is active"):
        log_diagnosis(ill)
    diagnosis = diagnose.examine(ill)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = mlflow.create_experiment("ill", artifact_location=str(tmp_path / "artifacts"))
    with mlflow.start_run(experiment_id=experiment) as run:
        log_diagnosis(ill)
    found = mlflow.search_runs([experiment], "tags.`diagnose.healthy` = 'False'", output_format="list")
    assert [one.info.run_id for one in found] == [run.info.run_id]
    assert found[0].data.tags["diagnose.cause"] == diagnosis.causes[0].id
    (report,) = (tmp_path / "artifacts").rglob("report.json")
    assert json.loads(report.read_text())["schema"] == 1
    assert list((tmp_path / "artifacts").rglob("report.html"))


def test_wandb_keeps_the_summary_and_a_table_offline(framework, monkeypatch, tmp_path, ill):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb = framework("wandb")
    from diagnose.hooks.integrations.wandb import log_diagnosis

    with pytest.raises(diagnose.InvalidArgumentError, match="no W&B run is active"):
        log_diagnosis(ill)
    run = wandb.init(project="ill", dir=tmp_path)
    log_diagnosis(ill)
    summary = dict(run.summary)
    run.finish()
    assert summary["diagnose/healthy"] is False
    diagnosis = diagnose.examine(ill)
    assert summary["diagnose/cause"] == diagnosis.causes[0].id
    assert "lr" in summary["diagnose/change"]
    (table,) = tmp_path.rglob("*.table.json")
    assert json.loads(table.read_text())["data"][0][1] == diagnosis.findings[0].severity.value
