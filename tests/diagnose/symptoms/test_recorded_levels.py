"""Levels and speeds that real recorded runs end at: ill ones are named, their near misses are not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import diagnose
from diagnose import symptoms
from diagnose.findings import Finding, Severity
from diagnose.run import Run

RUNS = Path(__file__).parents[3] / "fixtures" / "runs"

ILL = [
    ("underfitting", "model_too_small-sequence-1"),
    ("underfitting", "model_too_small-autoencoder-0"),
    ("underfitting", "weight_decay_too_strong-language-0"),
    ("underfitting", "dropout_too_strong-convolution-0"),
    ("underfitting", "init_zero-autoencoder-0"),
    ("underfitting", "lr_too_high-regression-1"),
    ("underfitting", "decayed_too_early-classification-0"),
    ("slow_descent", "lr_too_low-autoencoder-0"),
    ("slow_descent", "lr_too_low-language-1"),
    ("undertrained", "too_few_epochs-convolution-0"),
    ("undertrained", "too_few_epochs-classification-1"),
    ("plateau", "decayed_too_early-language-1"),
    ("plateau", "decayed_too_early-autoencoder-0"),
    ("no_learning", "lr_far_too_high-classification-0"),
    ("overfitting", "too_little_data-regression-0"),
    ("validation_stall", "missing_decay-classification-0"),
]
SOUND = [
    ("underfitting", "small_data_early_stop-classification-1"),  # a poor level, and not the end of its fall
    ("underfitting", "small_noisy_batch-sequence-0"),
    ("underfitting", "generative_flat-diffusion-0"),
    ("underfitting", "fine_tuning-language-0"),
    ("slow_descent", "fine_tuning-autoencoder-0"),  # moves as little, and on purpose
    ("slow_descent", "small_data_early_stop-classification-0"),
    ("undertrained", "small_data_early_stop-classification-0"),  # still falls, and its schedule is over
    ("plateau", "step_decay-classification-0"),
    ("plateau", "too_few_epochs-sequence-0"),  # gathers speed, and is cut off
    ("no_learning", "too_few_epochs-classification-0"),
    ("overfitting", "fine_tuning-classification-0"),
    ("validation_stall", "batch_too_small-classification-0"),
]


@cache
def recorded(name: str) -> Run:
    return diagnose.load(RUNS / name)


def alarms(run: Run, symptom: str) -> list[Finding]:
    return [found for found in symptoms.find(run, [symptom]) if found.severity is not Severity.INFO]


@pytest.mark.parametrize(("symptom", "name"), ILL)
def test_an_ill_level_is_named(symptom, name):
    (found,) = alarms(recorded(name), symptom)
    assert found.window[0] <= found.window[1] <= recorded(name).steps


@pytest.mark.parametrize(("symptom", "name"), SOUND)
def test_a_near_miss_is_not(symptom, name):
    assert not alarms(recorded(name), symptom)


@pytest.mark.parametrize("name", ["lr_too_low-autoencoder-1", "lr_too_low-classification-0"])
def test_a_short_path_is_no_slow_descent_where_the_run_is_a_fine_tuning(name):
    run = recorded(name)
    told = replace(run, setup=replace(run.setup, config={**run.setup.config, "pretrained": True}))
    assert alarms(run, "slow_descent") and not alarms(told, "slow_descent")


@pytest.mark.parametrize("name", ["weight_decay_too_strong-autoencoder-0", "weight_decay_too_strong-autoencoder-1"])
def test_without_a_scale_the_weights_must_tell(name):
    run = recorded(name)
    without_norm = replace(run, scalars={k: s for k, s in run.scalars.items() if k != "param_norm"})
    (found,) = alarms(run, "underfitting")
    assert "weight decay" in found.evidence["held_down"] and not alarms(without_norm, "underfitting")
