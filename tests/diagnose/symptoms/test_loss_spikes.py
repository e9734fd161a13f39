"""Loss spikes: wrong labels in single batches; not one that recovers, not a step up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diagnose import symptoms
from diagnose.causes import ranked
from diagnose.findings import Severity
from diagnose.run import Series
from tests.diagnose.symptoms.curve_trainings import train, wrong_labels

SPOILT = (200, 290, 350, 430, 520)


def spiking(seed, spoilt=SPOILT):
    return train(seed, lr=0.01, epochs=15, disturb=lambda share, step, b: wrong_labels(1.0)(b) if step in spoilt else b)


@pytest.mark.parametrize("seed", range(4))
def test_batches_with_wrong_labels_are_counted_and_placed(seed):
    run = spiking(seed)
    (finding,) = symptoms.find(run)
    assert finding.id == "loss_spikes" and finding.severity is Severity.WARNING
    assert finding.evidence["spikes"] >= len(SPOILT) - 1
    assert 200 - 5 < finding.window[0] < 290 and abs(finding.window[1] - 520) < 5
    assert {"missing_clipping", "bad_data"} & {cause.id for cause in ranked([finding], run)[:2]}


@pytest.mark.parametrize("seed", range(4))
def test_one_that_recovers_is_an_info_at_most(seed):
    assert all(f.severity is Severity.INFO for f in symptoms.find(spiking(seed, (300,))))


def test_spikes_at_equal_distances_point_to_the_data():
    run = spiking(1, tuple(range(100, 610, 82)))
    (finding,) = symptoms.find(run, ["loss_spikes"])
    assert finding.evidence["regular"] == "yes" and ranked([finding], run)[0].id == "bad_data"


@pytest.mark.parametrize("seed", range(2))
def test_a_loss_that_stays_up_has_not_spiked(seed):
    run = train(seed, epochs=15, disturb=lambda share, step, b: wrong_labels(1.0)(b) if share > 0.7 else b)
    assert not [f for f in symptoms.find(run, ["loss_spikes"]) if f.severity is not Severity.INFO]


@pytest.mark.parametrize(("heralds", "calm", "first"), [((), "yes", "bad_data"), ((0.5, 2.0), "no", "lr_too_high")])
def test_leaps_that_a_rising_loss_announces_point_to_the_rate_and_others_to_the_data(
    run_with, rng, heralds, calm, first
):
    loss = 0.3 + 2 * np.exp(-np.arange(600) / 100) + 0.02 * rng.normal(size=600)
    for leap in (150, 290, 351, 520):
        loss[leap - len(heralds) : leap] += heralds
        loss[leap : leap + 2] += (6.0, 1.0)
    run = run_with(**{"loss/train": loss})
    (finding,) = symptoms.find(run, ["loss_spikes"])
    assert (finding.evidence["regular"], finding.evidence["out_of_calm"]) == ("no", calm)
    likely = [cause.id for cause in ranked([finding], run) if cause.id in {"bad_data", "lr_too_high"}]
    assert likely[0] == first
    (finding,) = symptoms.find(_seldom(run), ["loss_spikes"])
    assert finding.evidence["out_of_calm"] == "unknown"


def test_leaps_out_of_a_loss_that_does_not_move_at_all_come_out_of_a_calm(run_with):
    loss = np.where(np.isin(np.arange(600), (150, 290, 351, 520)), 6.0, 1.0)
    with np.errstate(all="raise"):
        (finding,) = symptoms.find(run_with(**{"loss/train": loss}), ["loss_spikes"])
    assert finding.evidence["out_of_calm"] == "yes"


def _seldom(run):
    """The same values, each fifty steps after the last."""
    loss = run.scalars["loss/train"]
    return replace(run, scalars={"loss/train": Series(50 * loss.steps, loss.values, loss.wall_times)})
