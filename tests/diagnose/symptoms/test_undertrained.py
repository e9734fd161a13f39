"""Undertrained: a sound training cut off in mid-fall; not one whose schedule had ended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from diagnose import symptoms
from diagnose.causes import ranked
from diagnose.findings import Severity
from diagnose.run import Run, Series
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


def _cut(run: Run, step: int) -> Run:
    def upto(series: Series) -> Series:
        kept = series.steps <= step
        return Series(series.steps[kept], series.values[kept], series.wall_times[kept])

    return replace(run, scalars={name: upto(series) for name, series in run.scalars.items()})


def test_a_run_that_ended_before_it_had_used_its_data_is_undertrained():
    run = _cut(train(0, lr=0.003, batch_size=8, epochs=1), 120)
    (finding,) = symptoms.find(run, ["undertrained"])
    assert finding.severity is Severity.WARNING and finding.evidence["all_seen"] == "no"
    assert finding.evidence["passes"] == pytest.approx(8 * 120 / 1297, rel=0.01)
    assert ranked([finding], run)[0].id == "too_few_epochs"


@pytest.mark.parametrize(
    "other",
    [
        {"config": {"dataset_size": 5_000_000}},
        {"config": {"dataset_size": 500}},
        {"config": {"pretrained": True}},
        {"modules": {"Embedding": 1, "Linear": 2}},
    ],
    ids=["data without end", "all of it was seen", "a pretrained model", "a sequence is many samples"],
)
def test_less_than_one_pass_is_no_illness_of(other):
    run = _cut(train(0, lr=0.003, batch_size=8, epochs=1), 120)
    setup = replace(
        run.setup,
        config={**run.setup.config, **other.get("config", {})},
        modules={**run.setup.modules, **other.get("modules", {})},
    )
    assert all("passes" not in f.evidence for f in symptoms.find(replace(run, setup=setup), ["undertrained"]))
