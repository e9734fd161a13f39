"""Undertrained: a sound training cut off in mid-fall; not one whose schedule had ended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diagnose import symptoms
from diagnose.causes import ranked
from diagnose.findings import Severity
from diagnose.logs.layout import CLOSED_TAG
from diagnose.run import Layer, Run, Series
from tests.diagnose.symptoms.curve_trainings import cosine, train


@pytest.mark.parametrize("seed", range(4))
def test_a_run_cut_off_in_its_fall_is_undertrained(seed):
    run = train(seed, lr=0.01, epochs=3)
    (finding,) = [f for f in symptoms.find(run) if f.severity is not Severity.INFO]
    assert finding.id == "undertrained" and finding.window[1] == 123
    assert ranked([finding], run)[0].id == "too_few_epochs"


@pytest.mark.parametrize("seed", range(4))
def test_a_schedule_that_came_to_its_end_was_planned(seed):
    findings = symptoms.find(train(seed, lr=0.01, epochs=4, schedule=cosine), ["undertrained"])
    assert all(f.severity is Severity.INFO for f in findings)


@pytest.mark.parametrize("seed", range(4))
def test_a_run_that_has_levelled_is_not(seed):
    assert not symptoms.find(train(seed, epochs=20), ["undertrained"])


def test_a_run_of_ours_that_goes_on_is_an_info():
    run = train(0, lr=0.01, epochs=3)
    mark = Series(*(run.scalars["loss/train"].steps[:1],) * 3)
    going_on = Run(run.path, run.setup, {**run.scalars, "diagnose/cadence/pulse": mark})
    assert all(f.severity is Severity.INFO for f in symptoms.find(going_on, ["undertrained"]))


def _ended(run: Run) -> Run:
    """The same run with our mark that training ended by itself."""
    last = run.scalars["loss/train"]
    mark = Series(last.steps[-1:], np.ones(1), last.wall_times[-1:] + 1)
    return replace(run, scalars={**run.scalars, CLOSED_TAG: mark})


def _cut(run: Run, step: int) -> Run:
    def upto(series: Series) -> Series:
        kept = series.steps <= step
        return Series(series.steps[kept], series.values[kept], series.wall_times[kept])

    return replace(run, scalars={name: upto(series) for name, series in run.scalars.items()})


def test_a_run_that_ended_before_it_had_used_its_data_is_undertrained():
    run = _ended(_cut(train(0, lr=0.003, batch_size=8, epochs=1), 120))
    (finding,) = symptoms.find(run, ["undertrained"])
    assert finding.severity is Severity.WARNING and finding.evidence["all_seen"] == "no"
    assert finding.evidence["passes"] == pytest.approx(8 * 120 / 1297, rel=0.01)
    assert ranked([finding], run)[0].id == "too_few_epochs"


@pytest.mark.parametrize(
    ("config", "first"),
    [
        ({"dataset_size": 5_000_000}, "Linear"),
        ({"dataset_size": 500}, "Linear"),
        ({"pretrained": True}, "Linear"),
        ({}, "Embedding"),
        ({}, "BartScaledWordEmbedding"),
    ],
    ids=["data without end", "all of it was seen", "a pretrained model", "a sequence is many samples", "scaled words"],
)
def test_less_than_one_pass_is_no_illness_of(config, first):
    assert not _findings_of_passes(config, first)
    assert len(_findings_of_passes({}, "Linear")) == 1


def _findings_of_passes(config, first):
    run = _ended(_cut(train(0, lr=0.003, batch_size=8, epochs=1), 120))
    layers = (Layer("first", first, 640), Layer("embed", "TimestepEmbedding", 9), Layer("head", "Linear", 64))
    modules = {"TimestepEmbedding": 1, "ViTPatchEmbeddings": 1, first: 1}
    setup = replace(run.setup, config={**run.setup.config, **config}, layers=layers, modules=modules)
    return [f for f in symptoms.find(replace(run, setup=setup), ["undertrained"]) if "passes" in f.evidence]


def _by_epoch(run: Run, epochs: int) -> Run:
    """The same run, had each epoch's mean loss and last rate been logged, and nothing else."""
    loss, rate = (np.array_split(run.scalars[name].values, epochs) for name in ("loss/train", "lr/group0"))
    at = np.arange(epochs)
    told = {"loss/train": [part.mean() for part in loss], "lr/group0": [part[-1] for part in rate]}
    scalars = {name: Series(at, np.array(values), at.astype(float)) for name, values in told.items()}
    return replace(run, scalars=scalars)


def test_a_log_that_counts_epochs_has_used_all_its_samples():
    run = _by_epoch(train(0, lr=0.001, epochs=60), 60)
    told = {**run.setup.config, "dataset_size": 50_000}  # of which 60 steps would see a hundredth
    for finding in symptoms.find(replace(run, setup=replace(run.setup, config=told)), ["undertrained"]):
        assert "passes" not in finding.evidence and "never used" not in finding.summary


def test_a_log_that_counts_epochs_and_ends_in_its_fall_is_undertrained_as_one_that_counts_steps():
    run = _by_epoch(train(0, lr=0.0005, epochs=60), 60)
    (finding,) = symptoms.find(run, ["undertrained"])
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize("planned", [{"epochs": 3}, {"epochs": None, "max_steps": 123}, {"epochs": 3, "max_steps": -1}])
def test_another_writers_log_that_is_shorter_than_planned_is_an_info(planned):
    run = train(0, lr=0.01, epochs=3)
    whole = replace(run, setup=replace(run.setup, config={**run.setup.config, **planned}))
    assert [f.severity for f in symptoms.find(whole, ["undertrained"])] == [Severity.WARNING]
    longer = {name: value and value * 4 for name, value in planned.items()}
    begun = replace(run, setup=replace(run.setup, config={**run.setup.config, **longer}))
    assert [f.severity for f in symptoms.find(begun, ["undertrained"])] == [Severity.INFO]


def test_of_another_writers_log_nobody_knows_how_much_of_the_data_its_steps_have_seen():
    run = _cut(train(0, lr=0.003, batch_size=8, epochs=1), 120)
    for config in (run.setup.config, {"batch_size": 8, "dataset_size": 1297, "epochs": 0.7}):
        found = symptoms.find(replace(run, setup=replace(run.setup, config=config)), ["undertrained"])
        assert all("passes" not in finding.evidence for finding in found)
