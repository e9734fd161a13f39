"""The diagnosis as data: after its schema, and strict JSON whatever it holds."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diagnose
from diagnose.diagnosis import Cause, Change, Diagnosis, EvidenceLine, HeldBack, Prescription
from diagnose.findings import Finding, Severity
from diagnose.prescriptions.planner import STAGES
from diagnose.run import Run

SCHEMA = json.loads(files("diagnose.reports").joinpath("schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def check(diagnosis: Diagnosis) -> dict:
    VALIDATOR.validate(diagnosis.to_dict())
    text = diagnosis.to_json()
    assert json.loads(text, parse_constant=refuse) == diagnosis.to_dict()
    text.encode()
    return diagnosis.to_dict()


def test_the_schema_itself_is_sound():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("run", ["healthy", "diverging", "overfitting", "vanishing"])
def test_real_diagnoses_follow_the_schema(demo_runs, run):
    told = check(diagnose.examine(demo_runs[run]))
    assert told["schema"] == 1 and told["healthy"] is (run == "healthy")


def test_the_shape_is_the_documented_one(demo_runs):
    told = diagnose.examine(demo_runs["diverging"]).to_dict()
    lr, warmup, *_ = told["prescription"]["changes"]
    assert {k: lr[k] for k in ("remedy", "setting", "from", "to", "coupled_to")} == {
        "remedy": "lower_lr",
        "setting": "lr",
        "from": 8.0,
        "to": 0.03,
        "coupled_to": None,
    }
    assert warmup["coupled_to"] == "lower_lr"
    assert told["causes"][0]["id"] == "lr_too_high" and "divergence" in told["causes"][0]["because"]


@pytest.mark.parametrize("damage", [{"schema": 2}, {"extra": 1}, {"findings": [{}]}, {"healthy": "yes"}])
def test_the_schema_refuses_what_is_not_ours(demo_runs, damage):
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({**diagnose.examine(demo_runs["healthy"]).to_dict(), **damage})


text, number = st.text(max_size=20), st.floats()
setting = st.none() | number | st.integers() | text
findings = st.builds(
    Finding,
    id=text,
    severity=st.sampled_from(Severity),
    confidence=number,
    window=st.tuples(st.integers(), st.integers()),
    summary=text,
    evidence=st.dictionaries(text, number | text, max_size=3),
    layers=st.lists(text, max_size=3).map(tuple),
    kind=st.sampled_from(["symptom", "setup_rule"]),
)
lines = st.builds(EvidenceLine, text, number, text)
causes = st.builds(Cause, text, text, number, st.lists(lines, max_size=2).map(tuple))
changes = st.builds(
    Change, text, text, text, setting, setting, text, st.lists(text, max_size=2).map(tuple), st.none() | text, text
)
prescriptions = st.builds(
    Prescription,
    st.none() | st.sampled_from(STAGES),
    st.lists(changes, max_size=3).map(tuple),
    st.lists(st.builds(HeldBack, text, text, st.sampled_from(STAGES)), max_size=2).map(tuple),
)
diagnoses = st.builds(
    Diagnosis,
    st.builds(Run, text, notes=st.lists(text, max_size=2).map(tuple)),
    st.lists(findings, max_size=3).map(tuple),
    st.lists(causes, max_size=2).map(tuple),
    prescriptions,
)


@settings(max_examples=150, deadline=None)
@given(diagnoses)
def test_whatever_a_diagnosis_holds_it_becomes_strict_json_after_the_schema(diagnosis):
    check(diagnosis)


@settings(max_examples=100, deadline=None)
@given(diagnoses)
def test_whatever_a_diagnosis_holds_it_can_be_printed(diagnosis):
    from diagnose.reports.text import as_text

    as_text(diagnosis)
    diagnosis.to_markdown()
    assert "<script" not in diagnosis._repr_html_()


def test_numbers_of_numpy_and_switches_become_plain_json(ill):
    evidence = {"single": np.float32(0.5), "count": np.int64(3), "lost": np.float32("nan"), "seen": True}
    told = check(ill(evidence=evidence))
    assert told["findings"][0]["evidence"] == {"single": 0.5, "count": 3, "lost": None, "seen": True}


def test_a_path_that_is_no_text_still_gives_every_report(ill):
    diagnosis = ill(path="runs/caf\udce9")
    check(diagnosis)
    for report in (diagnosis.to_markdown(), diagnosis.to_html(), diagnosis._repr_html_()):
        assert "runs/caf" in report.encode().decode()
