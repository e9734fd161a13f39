"""What a released version has written stays readable, and means the same: fixtures/released is never recorded again."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from safetensors import safe_open

import diagnose
from diagnose.cli import main
from diagnose.logs import layout

FIXTURES = Path(__file__).parent.parent / "fixtures"
RELEASED = FIXTURES / "released"
RECORDED = sorted((FIXTURES / "runs").iterdir())
SCHEMA = json.loads(files("diagnose.reports").joinpath("schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


@pytest.fixture
def run():
    return diagnose.load(RELEASED / "log-1")


def test_each_version_of_both_forms_has_its_witness():
    diagnosis = SCHEMA["properties"]["schema"]["const"]
    assert {path.name for path in RELEASED.iterdir() if path.is_dir()} == {
        f"log-{version}" for version in range(1, layout.SETUP_SCHEMA + 1)
    }
    assert {path.name for path in RELEASED.glob("*.json")} == {f"diagnosis-{n}.json" for n in range(1, diagnosis + 1)}


def test_the_first_versions_log_reads_whole(run):
    assert run.notes == () and run.closed and run.steps == 60
    losses = run.scalars["loss/train"]
    assert losses.steps.tolist() == list(range(1, 61))
    assert np.isfinite(losses.values[:54]).all() and np.isnan(losses.values[54:]).all()
    assert {"lr/group0", "grad_norm", "grad_norm_unclipped", "noise_scale", "hessian_trace"} <= run.scalars.keys()
    assert {"loss/validation", "accuracy/train", "loss/rank1", "throughput", "update_ratio"} <= run.scalars.keys()
    assert run.layer_signals["layers/grad_norm"].values.shape[1] == len(run.setup.layers) == 2


def test_the_first_versions_set_up_is_understood(run):
    assert run.setup.config["batch_size"] == 32 and run.setup.config["task"] == "classification"
    assert run.setup.optimizer["type"] == "SGD" and run.setup.scheduler["type"] == "CosineAnnealingLR"
    assert [layer.type for layer in run.setup.layers] == ["Linear", "Linear"]


def test_the_first_versions_log_says_what_it_said(run, capsys):
    told = diagnose.examine(run)
    first = told.findings[0]
    assert (first.id, first.window, first.evidence["origin"]) == ("nan_loss", (55, 60), "inputs")
    assert main(["report", str(RELEASED / "log-1")]) == 1
    assert "inputs" in capsys.readouterr().out


def test_the_first_versions_batch_opens():
    with safe_open(RELEASED / "log-1" / "nonfinite-batch-step55.safetensors", "np") as batch:
        assert any(np.isnan(batch.get_tensor(name)).any() for name in batch.keys())  # noqa: SIM118  no mapping


def test_a_diagnosis_written_under_the_first_schema_is_one_still():
    VALIDATOR.validate(json.loads((RELEASED / "diagnosis-1.json").read_text()))


@pytest.mark.parametrize(
    "runs", [RECORDED[::25], pytest.param(RECORDED, marks=pytest.mark.slow)], ids=["some of them", "all"]
)
def test_the_diagnosis_of_recorded_runs_follows_the_schema(runs):
    for path in runs:
        VALIDATOR.validate(diagnose.examine(path).to_dict())
