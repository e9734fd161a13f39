"""Noisy gradients and oversized batches: two ends of the noise scale against the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import diagnose
from diagnose import symptoms
from diagnose.findings import Severity
from diagnose.prescriptions.doses.batch import enlarged, shrunk
from diagnose.run import Layer, Run, Series, Setup
from tests.diagnose.symptoms.trainings import digits, mlp, train


def only(run, symptom):
    return list(symptoms.find(run, only=[symptom]))


def test_batches_of_one_at_a_high_rate_follow_the_noise(tmp_path):
    found = []
    for seed in (0, 1, 2):  # where all units die at once no noise is left to measure
        torch.manual_seed(seed)
        model = mlp()
        run = train(tmp_path / str(seed), model, torch.optim.SGD(model.parameters(), 0.5), batch=1, steps=400)
        found += only(run, "noisy_gradients")
        assert {"batch_too_small", "lr_too_high"} & {cause.id for cause in diagnose.examine(run).causes[:2]}
    assert len(found) >= 2
    assert all(one.severity is Severity.WARNING and one.evidence["update_ratio"] > 0.01 for one in found)


def wide_batches(size, samples=8192):
    """A task with little noise: many samples that hardly differ from one another."""
    x, y = (part[:16] for part in digits())
    while True:
        rows = torch.randint(16, (size,))
        yield x[rows] + 0.01 * torch.randn(size, 64), y[rows]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_batch_far_above_the_noise_is_oversized(tmp_path, seed):
    torch.manual_seed(seed)
    model = mlp()
    data = wide_batches(1024)
    run = train(
        tmp_path, model, torch.optim.SGD(model.parameters(), 0.01), batch=1024, dataset_size=100_000,
        data=(next(data) for _ in range(200)),
    )  # fmt: skip
    (finding,) = only(run, "oversized_batch")
    assert finding.evidence["noise_scale"] < 0.1 * finding.evidence["batch_size"]
    assert 256 <= shrunk(run) < 1024


@pytest.mark.parametrize("symptom", ["noisy_gradients", "oversized_batch"])
def test_sound_runs_have_none(assert_silent, symptom):
    assert_silent(symptom)


def noise_of(noise, batch=1024, **more):
    def series(values):
        values = np.asarray(values, float)
        return Series(np.arange(1, len(values) + 1), values, np.zeros(len(values)))

    layer = Layer("a", "Linear", 4096, init={"weight_std": 0.0722, "fan_in": 64.0, "fan_out": 64.0})
    scalars = {name: series(values) for name, values in more.items()}
    config = {"batch_size": batch, "dataset_size": 50_000}
    return Run("r", Setup(config=config, layers=(layer,)), {"noise_scale": series(noise), **scalars})


def test_a_gap_makes_an_oversized_batch_a_warning(rng):
    losses = {"loss/train": np.linspace(2, 0, 100), "loss/validation": np.linspace(2, 1.5, 100)}
    few = rng.lognormal(2, 0.3, 60)
    assert only(noise_of(few, **losses), "oversized_batch")[0].severity is Severity.WARNING
    assert only(noise_of(few), "oversized_batch")[0].severity is Severity.INFO
    assert not only(noise_of(few, batch=128), "oversized_batch")
    assert not only(noise_of(few, batch=50_000), "oversized_batch")  # all the data: no noise by design


def test_a_noise_scale_that_grows_beyond_a_tenth_of_the_batch_is_ordinary():
    assert not only(noise_of(np.geomspace(10, 2000, 60)), "oversized_batch")


def test_noise_without_large_steps_or_with_a_falling_loss_is_ordinary(rng):
    flat = {"loss/train": 1 + 0.1 * rng.normal(size=200), "update_ratio": np.full(200, 0.05)}
    noise = rng.lognormal(8, 0.3, 60)
    assert only(noise_of(noise, batch=4, **flat), "noisy_gradients")
    assert not only(noise_of(noise, batch=4, **{**flat, "update_ratio": np.full(200, 1e-3)}), "noisy_gradients")
    falling = {**flat, "loss/train": np.linspace(2, 1, 200) + 0.1 * rng.normal(size=200)}
    assert not only(noise_of(noise, batch=4, **falling), "noisy_gradients")


def test_the_batch_moves_towards_the_noise_scale_and_no_further_than_fourfold():
    assert enlarged(noise_of([1e6], batch=8)) == 32
    assert enlarged(noise_of([16.0], batch=8)) == 16
    assert shrunk(noise_of([1.0], batch=1024)) == 256
    assert shrunk(noise_of([1e5], batch=1024)) is None
