"""Recorded runs whose loss jumps, swings, leaps or hardly has noise, and near misses of each."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import diagnose
from diagnose import symptoms
from diagnose.findings import Severity
from diagnose.run import Run, Series, Setup

RUNS = Path(__file__).parents[3] / "fixtures" / "runs"
FALLING = "lr/group0"


@cache
def recorded(name: str) -> Run:
    return diagnose.load(RUNS / name)


def above_info(run: Run, symptom: str):
    return [found for found in symptoms.find(run, [symptom]) if found.severity is not Severity.INFO]


def series(values) -> Series:
    values = np.asarray(values, float)
    return Series(np.arange(1, len(values) + 1), values, np.zeros(len(values)))


def changed(run: Run, **signals) -> Run:
    return replace(run, scalars={**run.scalars, **{name: series(values) for name, values in signals.items()}})


@pytest.mark.parametrize("task", ["autoencoder-0", "autoencoder-1", "classification-0", "sequence-1"])
def test_one_sample_a_step_at_a_constant_rate_never_calms_down(task):
    run = recorded(f"batch_too_small-{task}")
    (found,) = above_info(run, "oscillation")
    assert found.evidence["growth"] > 0.8 and found.evidence["period_is_an_epoch"] == "no"
    falls = changed(run, **{FALLING: np.geomspace(1, 1e-3, len(run.scalars["loss/train"]))})
    assert not above_info(falls, "oscillation")  # such a rate averages the noise out
    small = changed(run, update_ratio=np.full(100, 1e-3))
    assert not above_info(small, "oscillation")


@pytest.mark.parametrize("task", ["classification", "convolution", "sequence", "language"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_small_noisy_batch_at_a_fitting_rate_is_none_of_these(task, seed):
    run = recorded(f"small_noisy_batch-{task}-{seed}")
    assert not any(above_info(run, one) for one in ("oscillation", "noisy_gradients", "loss_spikes", "divergence"))


@pytest.mark.parametrize("name", ["classification-0", "classification-1", "convolution-1"])
def test_data_in_the_order_of_their_classes_repeat_with_the_epoch(name):
    run = recorded(f"unshuffled-{name}")
    (found,) = above_info(run, "oscillation")
    assert found.evidence["period_is_an_epoch"] == "yes" and found.evidence["period"] == pytest.approx(1400 / 32)
    other = replace(run, setup=replace(run.setup, config={**run.setup.config, "dataset_size": 900}))
    assert not above_info(other, "oscillation")  # it repeats, but not with the epoch that the config tells


def test_steps_of_a_tenth_of_the_weights_need_no_noise_to_jump():
    run = recorded("lr_too_high-regression-0")
    assert above_info(run, "oscillation")
    assert not above_info(changed(run, update_ratio=np.full(100, 0.003)), "oscillation")


@pytest.mark.parametrize("seed", [0, 1])
def test_the_noise_of_single_samples_drives_the_weights(seed):
    assert above_info(recorded(f"batch_too_small-classification-{seed}"), "noisy_gradients")
    shrinking = recorded(f"weight_decay_too_strong-classification-{seed}")  # large ratios, of weights that vanish
    assert not above_info(shrinking, "noisy_gradients")


@pytest.mark.parametrize("seed", [0, 1])
def test_leaps_at_equal_distances_count_where_every_third_block_has_one(seed):
    (found,) = above_info(recorded(f"outlier_batches-autoencoder-{seed}"), "loss_spikes")
    assert found.evidence["spikes"] >= 10 and found.evidence["regular"] == "yes"


def test_one_leap_is_an_illness_only_where_nothing_is_learnt():
    assert above_info(recorded("lr_too_high-regression-1"), "loss_spikes")
    for task in ("classification", "autoencoder", "diffusion"):
        assert not above_info(recorded(f"recovered_spike-{task}-0"), "loss_spikes")


def test_irregular_leaps_of_heavy_tails_are_noise(rng):
    values = np.linspace(2, 1, 600) + 0.05 * rng.normal(size=600)
    values[rng.choice(np.arange(20, 580), 40, replace=False)] += 0.6
    assert not above_info(Run("r", Setup(), {"loss/train": series(values)}), "loss_spikes")


@pytest.mark.parametrize("task", ["classification", "convolution", "sequence"])
def test_the_whole_data_set_in_one_batch_takes_too_few_steps(task):
    run = recorded(f"batch_too_large-{task}-0")
    (found,) = above_info(run, "oversized_batch")
    assert found.evidence["steps"] < 100
    small = replace(run, setup=replace(run.setup, config={"batch_size": 500, "dataset_size": 500}))
    assert not above_info(small, "oversized_batch")
    learnt = changed(run, **{"loss/train": np.geomspace(2, 1e-4, 60)})
    assert not above_info(learnt, "oversized_batch")
    tail = changed(run, **{"loss/train": 2 / (1 + np.arange(300) / 3)})  # hundreds of steps, and little more to gain
    assert not above_info(tail, "oversized_batch")
    stands = changed(run, **{"loss/train": np.maximum(np.linspace(2, -1, 60), 0.5)})
    assert not above_info(stands, "oversized_batch")


@pytest.mark.parametrize("task", ["classification", "convolution", "diffusion"])
def test_a_large_batch_with_a_fitting_rate_is_not_oversized(task):
    assert not above_info(recorded(f"large_batch_with_warmup-{task}-0"), "oversized_batch")


@pytest.mark.parametrize("name", ["unnormalized_inputs-regression-0", "lr_far_too_high-regression-0"])
def test_a_loss_thrown_up_by_orders_diverges_however_wild_it_is_up_there(name):
    (found,) = above_info(recorded(name), "divergence")
    assert found.severity is Severity.CRITICAL


def test_a_first_value_that_is_low_by_chance_is_no_divergence(rng):
    values = np.exp(rng.normal(size=200))
    values[0] = values.min() / 2
    assert not above_info(Run("r", Setup(), {"loss/train": series(values)}), "divergence")
