"""Healthy runs of other kinds than the recorded ones: smoothed logs, adversaries, agents, odd but sound set-ups."""

from __future__ import annotations

import numpy as np
import pytest

from diagnose import symptoms
from diagnose.chance import skill
from diagnose.findings import Severity
from diagnose.run import Layer, Run, Series, Setup

STEPS = np.arange(2000)
SOUND = 1.8 * np.exp(-STEPS / 400) + 0.3


def run_of(loss, *, name="loss/train", layers=(), model=None, **config):
    loss = np.asarray(loss, float)
    series = Series(np.arange(1, len(loss) + 1), loss, np.zeros(len(loss)))
    return Run("r", Setup(config=config, layers=tuple(layers), model=model or {}), {"loss/train": series, name: series})


def alarms(run):
    return [finding.id for finding in symptoms.find(run) if finding.severity is not Severity.INFO]


def exponential(values, keep):
    out = [values[0]]
    for value in values[1:]:
        out.append(keep * out[-1] + (1 - keep) * value)
    return np.array(out)


@pytest.mark.parametrize("draw", range(5))
@pytest.mark.parametrize("keep", [0.9, 0.98])
def test_a_running_mean_of_a_sound_loss_is_no_oscillation(draw, keep):
    raw = SOUND + 0.25 * np.random.default_rng(draw).normal(size=2000)
    assert alarms(run_of(exponential(raw, keep))) == []
    window = np.convolve(raw, np.ones(20) / 20, mode="valid")
    assert alarms(run_of(window)) == []


def test_a_running_mean_does_not_hide_a_true_oscillation():
    wave = SOUND + 0.6 * np.sin(STEPS / 40) + 0.1 * np.random.default_rng(0).normal(size=2000)
    assert "oscillation" in alarms(run_of(wave))


@pytest.mark.parametrize("told", [{"task": "gan"}, {"task": "rl-ppo"}, {"name": "loss/critic"}, {"name": "d_loss"}])
def test_losses_of_adversaries_and_agents_may_rise_and_swing(told):
    rng = np.random.default_rng(0)
    rising = 0.2 + 2.0 * (1 - np.exp(-STEPS / 500)) + 0.05 * rng.normal(size=2000)
    swinging = 1 + 0.5 * np.sin(STEPS / 60) + 0.05 * rng.normal(size=2000)
    for loss in (rising, swinging):
        assert alarms(run_of(loss)) and not alarms(run_of(loss, **told))


def test_a_nan_is_one_in_any_world():
    broken = np.where(STEPS < 1500, SOUND, np.nan)
    assert "nan_loss" in alarms(run_of(broken, task="gan"))


def linear(name, inputs, outputs):
    return Layer(name, "Linear", inputs * outputs, init={"weight_std": 0.3, "fan_in": inputs, "fan_out": outputs})


def test_attention_scores_of_one_number_are_no_bottleneck_and_a_chain_through_one_unit_is():
    level = np.r_[np.linspace(2, 1, 200), np.ones(800)] + 0.01 * np.random.default_rng(0).normal(size=1000)
    scores = [linear("in", 8, 32), linear("score", 32, 1), linear("head", 32, 1)]
    chain = [linear("in", 8, 1), linear("out", 1, 8)]
    assert "underfitting" not in alarms(run_of(level, layers=scores))
    assert "underfitting" in alarms(run_of(level, layers=chain))


def test_heavy_dropout_of_a_run_that_fits_is_no_illness():
    found = {"fits": 0, "stuck": 0}
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(size=2000)
        for name, loss in (
            ("fits", 2 * np.exp(-STEPS / 100) + 0.01 + 0.001 * noise),
            ("stuck", 0.8 * np.exp(-STEPS / 100) + 1.2 + 0.02 * noise),
        ):
            found[name] += "underfitting" in alarms(run_of(loss, model={"dropout": 0.8}))
    assert found["fits"] == 0 and found["stuck"] >= 4


@pytest.mark.parametrize(
    ("loss", "setup"),
    [
        (SOUND, {"num_classes": 10, "model": {"label_smoothing": 0.2}}),
        (SOUND + 40, {"num_classes": 20}),  # a sum of many terms
        (SOUND + 8, {"num_classes": 30_000}),  # words
        (SOUND + 2, {"num_classes": 100, "task": "char-rnn"}),
    ],
)
def test_how_far_a_loss_is_from_chance_is_not_said_where_it_is_no_plain_cross_entropy(loss, setup):
    assert skill(run_of(loss, **setup)) is None


@pytest.mark.parametrize("bump", [1e-5, 1e-4, 1e-3])
def test_a_drift_at_the_floor_is_no_instability(bump):
    loss = 2.3 * np.exp(-STEPS / 100) + 0.01 + np.where(STEPS > 1600, bump, 0)
    assert "late_instability" not in alarms(run_of(loss))


@pytest.mark.parametrize("draw", [1, 2, 3])
def test_a_mean_that_begins_anew_with_every_epoch_leaps_by_itself(draw):
    noisy = 2.0 * np.exp(-np.arange(6000) / 600) + 0.3 + 0.25 * np.random.default_rng(draw).normal(size=6000)
    epochs = [noisy[at : at + 300] for at in range(0, 6000, 300)]
    means = np.concatenate([np.cumsum(epoch) / np.arange(1, 301) for epoch in epochs])
    assert "loss_spikes" not in alarms(run_of(means))


def test_regular_teeth_are_taken_for_warm_restarts_where_no_rate_was_logged_and_for_an_oscillation_where_it_was_level():
    t = np.arange(6000)
    teeth = 0.08 * (1 + np.cos(np.pi * (t % 1000) / 1000)) * (1 - np.exp(-(t % 1000) / 20))
    loss = 0.3 + 2 * np.exp(-t / 600) + teeth + 0.02 * np.random.default_rng(0).normal(size=6000)
    unlogged = run_of(loss)
    assert alarms(unlogged) == []
    assert any("warm restarts" in finding.summary for finding in symptoms.find(unlogged))
    level = Series(np.arange(1, 6001), np.full(6000, 0.1), np.zeros(6000))
    assert "oscillation" in alarms(Run("r", scalars={**unlogged.scalars, "lr/group0": level}))


@pytest.mark.parametrize("zero", [-50.0, 0.0, 50.0])
def test_where_a_loss_has_its_zero_is_nothing_to_overfitting(zero):
    t = np.arange(40)
    validation = 0.6 + 1.7 * np.exp(-t / 4) + 0.4 * np.maximum(t - 15, 0) / 25
    validation += 0.005 * np.random.default_rng(0).normal(size=40)
    held_out = Series(50 * (t + 1), validation + zero, np.zeros(40))
    run = run_of(SOUND + zero)
    assert alarms(Run("r", scalars={**run.scalars, "loss/validation": held_out})) == ["overfitting"]


def test_a_validation_loss_alone_tells_of_overfitting_and_that_it_could_be_something_else():
    t = np.arange(40)
    noise = 0.005 * np.random.default_rng(0).normal(size=40)
    rising = 0.6 + 1.7 * np.exp(-t / 4) + 0.6 * np.maximum(t - 15, 0) / 25 + noise
    (finding,) = symptoms.find(Run("r", scalars={"loss/validation": Series(50 * (t + 1), rising, np.zeros(40))}))
    assert (finding.id, finding.confidence) == ("overfitting", pytest.approx(0.6, abs=0.1))
    assert "no training loss" in finding.summary and 700 <= finding.window[0] <= 1000
    level = Series(50 * (t + 1), 0.6 + 1.7 * np.exp(-t / 4) + noise, np.zeros(40))
    assert alarms(Run("r", scalars={"loss/validation": level})) == []


@pytest.mark.parametrize("fall", [0.0, 0.001, 0.005])
def test_who_learned_nothing_learned_nothing_too_well(fall):
    t = np.arange(40)
    held_out = Series(50 * (t + 1), 2.30 + 0.01 * t / 39, np.zeros(40))
    run = run_of(2.3026 - fall * STEPS / 2000)
    assert "overfitting" not in alarms(Run("r", scalars={**run.scalars, "loss/validation": held_out}))


def test_a_single_low_value_does_not_take_back_the_spikes():
    loss = SOUND + 0.01 * np.random.default_rng(0).normal(size=2000)
    loss[[700, 1100, 1500]] += 2.0
    loss[1003] = 0.0
    assert "loss_spikes" in alarms(run_of(loss))


def test_a_restart_of_the_rate_is_no_overfitting_of_a_validation_curve():
    t = np.arange(40)
    rate = np.where(t < 30, 0.1 * (1 - t / 30), 0.1)
    loss = 0.6 + 1.7 * np.exp(-t / 4) + 0.5 * (t >= 30)
    at = 50 * (t + 1)
    curves = {"loss/validation": Series(at, loss, np.zeros(40)), "lr/group0": Series(at, rate, np.zeros(40))}
    assert alarms(Run("r", scalars=curves)) == []
