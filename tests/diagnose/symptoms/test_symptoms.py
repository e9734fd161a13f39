"""Each symptom fires on what it is for, stays silent on its near misses, and never crashes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diagnose
from diagnose import symptoms
from diagnose.findings import Severity
from diagnose.run import Layer, LayerSeries, Run, Series, Setup

STEPS = 1000


def only(run, symptom):
    return list(symptoms.find(run, only=[symptom]))


def falling(rng, steps=STEPS, noise=0.05, floor=0.1):
    """A healthy loss: exponential fall onto a floor, multiplicative noise."""
    return (floor + 2 * np.exp(-np.arange(steps) / (steps / 8))) * rng.lognormal(0, noise, steps)


@pytest.mark.parametrize("symptom", symptoms.ids())
def test_every_symptom_has_a_manual_page_with_all_its_parts(symptom):
    page = symptoms.manual_page(symptom)
    assert page.count("\n") > 5
    for part in (
        "What it looks like",
        "How it is told",
        "Why it matters",
        "Mistaken for",
        "When to ignore it",
        "Causes",
    ):
        assert part in page
    assert "K" in page.partition("Sources")[2]


def test_a_healthy_run_has_no_finding_above_info(demo_runs):
    assert diagnose.examine(demo_runs["healthy"]).healthy


@pytest.mark.parametrize(
    ("run", "symptom", "severity"),
    [
        ("diverging", "divergence", Severity.CRITICAL),
        ("overfitting", "overfitting", Severity.WARNING),
        ("vanishing", "vanishing_activations", Severity.CRITICAL),
        ("vanishing", "vanishing_gradients", Severity.CRITICAL),
    ],
)
def test_the_ill_demo_runs_show_what_they_have(demo_runs, run, symptom, severity):
    found = {f.id: f for f in diagnose.examine(demo_runs[run]).findings}
    assert found[symptom].severity is severity
    assert found[symptom].confidence > 0.6


def test_divergence_is_placed_where_the_climb_begins(run_with, rng):
    loss = falling(rng)
    loss[600:] = loss[600:] + np.minimum(5, 0.05 * np.arange(400))
    (finding,) = only(run_with(**{"loss/train": loss}), "divergence")
    assert 590 <= finding.window[0] <= 640
    assert finding.evidence["loss_after"] == pytest.approx(5.1, abs=0.3)


@pytest.mark.parametrize("shift", [0.0, -50.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_divergence_does_not_depend_on_the_losss_scale(run_with, rng, scale, shift):
    loss = falling(rng)
    loss[600:] += 3
    assert only(run_with(**{"loss/train": scale * loss + shift * scale}), "divergence")


def test_a_climb_that_ends_in_nan_is_a_divergence_however_short(run_with, rng):
    loss = falling(rng)
    loss[585:600] = np.geomspace(1, 500, 15)
    loss[600:] = np.nan
    (finding,) = only(run_with(**{"loss/train": loss}), "divergence")
    assert 575 <= finding.window[0] <= finding.window[1] <= 600
    assert not only(run_with(**{"loss/train": np.where(np.arange(STEPS) < 600, falling(rng), np.nan)}), "divergence")


def test_a_classifier_thrown_far_above_a_guess_by_its_first_step_diverges_however_noisy_it_is_there(rng):
    loss = np.r_[2.3, 35 * np.exp(0.5 * rng.normal(size=149))]
    series = Series(np.arange(1, 151), loss, np.zeros(150))
    assert only(Run("r", Setup(config={"num_classes": 10}), {"loss/train": series}), "divergence")
    assert not only(
        Run("r", Setup(config={"num_classes": 10}), {"loss/train": Series(series.steps, loss / 35, series.wall_times)}),
        "divergence",
    )


def test_a_recovered_spike_is_no_divergence(run_with, rng):
    loss = falling(rng)
    loss[500:540] += 10
    assert not only(run_with(**{"loss/train": loss}), "divergence")


@pytest.mark.parametrize("noise", [0.05, 0.3, 0.8])
def test_noise_is_no_divergence(run_with, rng, noise):
    assert not only(run_with(**{"loss/train": falling(rng, noise=noise)}), "divergence")


def test_a_flat_noisy_loss_is_no_divergence(run_with, rng):
    assert not only(run_with(**{"loss/train": 2.3 + 0.05 * rng.normal(size=STEPS)}), "divergence")


def test_a_warm_restart_is_no_divergence(run_with, rng):
    cycle = falling(rng, steps=250)
    loss = np.concatenate([cycle, 0.3 * cycle + 0.1, 0.3 * cycle + 0.08, 0.3 * cycle + 0.07])
    assert not only(run_with(**{"loss/train": loss}), "divergence")


def test_nan_is_named_with_its_first_step_and_what_came_before(run_with, rng):
    loss = falling(rng)
    loss[700:] = np.nan
    (finding,) = only(run_with(**{"loss/train": loss, "lr/group0": np.full(STEPS, 0.1)}), "nan_loss")
    assert finding.window == (701, 1000) and finding.severity is Severity.CRITICAL
    assert finding.evidence["loss_before"] == loss[699] and finding.evidence["lr_at_first"] == 0.1


def test_a_single_nan_that_recovers_is_a_warning(run_with, rng):
    loss = falling(rng)
    loss[300] = np.inf
    (finding,) = only(run_with(**{"loss/train": loss}), "nan_loss")
    assert finding.severity is Severity.WARNING and finding.window == (301, 301)


def test_infinite_gradients_under_loss_scaling_are_no_illness(run_with, rng):
    norm = np.ones(STEPS)
    norm[::200] = np.inf
    signals = {"loss/train": falling(rng), "grad_norm": norm}
    assert only(run_with(**signals), "nan_loss")[0].severity is Severity.WARNING
    assert only(run_with(**signals, loss_scale=np.full(STEPS, 65536.0)), "nan_loss")[0].severity is Severity.INFO


def test_a_straight_slow_fall_is_slow_descent(run_with, rng):
    loss = 2.3 - 0.3 * np.arange(STEPS) / STEPS + 0.02 * rng.normal(size=STEPS)
    (finding,) = only(run_with(**{"loss/train": loss}), "slow_descent")
    assert finding.evidence["share_of_fall_in_last_third"] == pytest.approx(1 / 3, abs=0.1)


def test_a_knee_or_a_plateau_or_a_climb_is_no_slow_descent(run_with, rng):
    for loss in (falling(rng), np.full(STEPS, 2.3), 2.3 + 0.02 * rng.normal(size=STEPS), np.linspace(1, 2, STEPS)):
        assert not only(run_with(**{"loss/train": loss}), "slow_descent")


def test_overfitting_names_the_best_step(run_with, rng):
    x = np.arange(100)
    validation = 1 + 2 * np.exp(-x / 10) + 0.02 * np.maximum(x - 40, 0) + 0.01 * rng.normal(size=100)
    train = 2.5 * np.exp(-x / 15)
    (finding,) = only(run_with(**{"loss/train": train, "loss/validation": validation}), "overfitting")
    assert 30 <= finding.evidence["best_step"] <= 50
    assert finding.window[1] == 100


def test_a_loss_of_nothing_but_zeros_with_one_other_value_is_judged_by_nobody(run_with):
    assert not only(run_with(**{"loss/train": [0.0] * 7 + [1.0]}), "divergence")


@pytest.mark.parametrize("points", [20, 200, 1000])
def test_a_validation_loss_that_falls_to_the_end_is_no_overfitting(run_with, points):
    falls = np.linspace(0.69, 0.2, points)
    assert not only(run_with(**{"loss/train": falls + 0.02, "loss/validation": falls}), "overfitting")


def test_a_validation_loss_that_stalls_is_no_overfitting(run_with, rng):
    x = np.arange(100)
    signals = {
        "loss/train": 2.5 * np.exp(-x / 15),
        "loss/validation": 1 + 2 * np.exp(-x / 10) + 0.02 * rng.normal(size=100),
    }
    assert not only(run_with(**signals), "overfitting")


def test_overconfidence_alone_is_no_illness_while_the_accuracy_still_improves(run_with):
    x = np.arange(100)
    signals = {
        "loss/train": 2.5 * np.exp(-x / 15),
        "loss/validation": 1 + 2 * np.exp(-x / 10) + 0.01 * np.maximum(x - 40, 0),
        "accuracy/validation": 1 - np.exp(-x / 30),
    }
    assert only(run_with(**signals), "overfitting")[0].severity is Severity.INFO


def test_a_run_that_learned_nothing_overfits_nothing(demo_runs):
    assert "overfitting" not in {f.id for f in diagnose.examine(demo_runs["diverging"]).findings}


def layered(values, signal, parameters=100):
    values = np.asarray(values, np.float32)
    layers = tuple(Layer(f"layer{i}", "Linear", parameters) for i in range(values.shape[1]))
    return Run(
        "a run", Setup(layers=layers), layer_signals={signal: LayerSeries(np.arange(1, len(values) + 1), values)}
    )


def test_gradients_are_compared_per_parameter_so_that_a_small_layer_is_not_starved():
    run = Run(
        "a run",
        Setup(layers=(Layer("small", "Linear", 1), Layer("b", "Linear", 10**8), Layer("c", "Linear", 10**8))),
        layer_signals={"layers/grad_norm": LayerSeries(np.arange(20), np.tile(np.float32([1e-4, 1, 1]), (20, 1)))},
    )
    assert not only(run, "vanishing_gradients")


def test_vanishing_gradients_name_the_starved_layers():
    (finding,) = only(layered(np.tile([1e-9, 1e-7, 1e-2, 1, 1], (30, 1)), "layers/grad_norm"), "vanishing_gradients")
    assert finding.layers == ("layer0", "layer1")
    assert finding.evidence["from_the_first_step"] == "yes"


@pytest.mark.parametrize(
    "values", [np.zeros((30, 5)), np.full((30, 5), np.nan), np.full((30, 5), 1e-12), np.ones((30, 2))]
)
def test_gradients_that_are_small_together_or_unknown_do_not_vanish_with_depth(values):
    assert not only(layered(values, "layers/grad_norm"), "vanishing_gradients")


def test_of_a_few_samples_all_must_have_lost_the_signal():
    lost, level = np.geomspace(1, 1e-9, 5), np.ones(5)
    for rows in ([lost], [level, lost], [lost, level, lost], [lost, lost, lost, level]):
        assert not only(layered(rows, "layers/activation_variance"), "vanishing_activations")
    assert only(layered([lost, lost], "layers/activation_variance"), "vanishing_activations")


def test_one_narrow_layer_is_no_vanishing_signal():
    assert not only(
        layered(np.tile([1, 1e-6, 1, 1, 1], (30, 1)), "layers/activation_variance"), "vanishing_activations"
    )


def test_a_signal_that_recovers_after_the_first_steps_does_not_vanish():
    values = np.ones((30, 5))
    values[:5, 2:] = 1e-9
    assert not only(layered(values, "layers/activation_variance"), "vanishing_activations")


NOISES = {
    "normal": lambda rng, n: 1 + 0.3 * rng.normal(size=n),
    "lognormal": lambda rng, n: rng.lognormal(0, 1, n),
    "slowly falling": lambda rng, n: np.linspace(1, 0.85, n) + 0.3 * rng.normal(size=n),
    "smoothed by its logger": lambda rng, n: 2 + 3 * np.convolve(rng.normal(size=n + 19), np.ones(20) / 20, "valid"),
}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("steps", [1000, 5000, 20_000])
def test_a_noisy_level_loss_does_not_diverge(run_with, noise, steps):
    ill = [bool(only(run_with(**{"loss/train": NOISES[noise](np.random.default_rng(seed), steps)}), "divergence"))
           for seed in range(40)]  # fmt: skip
    assert sum(ill) <= 1


@pytest.mark.parametrize("evaluations", [20, 50, 200])
def test_a_noisy_level_validation_loss_is_not_overfitted(run_with, evaluations):
    def one(seed):
        rng, share = np.random.default_rng(seed), np.linspace(0, 1, evaluations)
        validation = (1 + np.exp(-12 * share)) * (1 + 0.1 * rng.normal(size=evaluations))
        return run_with(**{"loss/train": 0.2 + 2 * np.exp(-4 * share), "loss/validation": validation})

    assert sum(bool(only(one(seed), "overfitting")) for seed in range(60)) <= 2


def test_a_zero_that_was_logged_before_training_is_no_level(run_with, rng):
    assert not only(run_with(**{"loss/train": np.append(0.0, falling(rng))}), "divergence")


@pytest.mark.parametrize("stairs", [(3, 151, 46), (20, 133, 47)])
def test_a_loss_in_stairs_is_no_slow_descent(run_with, stairs):
    loss = np.repeat([1.2, 1.1, 1.0], stairs)
    assert not only(run_with(**{"loss/train": loss}), "slow_descent")


def test_a_loss_that_came_back_from_a_late_nan_is_a_warning(run_with, rng):
    loss = falling(rng)
    loss[960] = np.nan
    assert only(run_with(**{"loss/train": loss}), "nan_loss")[0].severity is Severity.WARNING


def test_layers_whose_number_differs_from_the_set_ups_go_by_their_place():
    run = layered(np.tile([1, 1e-3, 1e-8, 1e-9, 1e-9], (30, 1)), "layers/activation_variance")
    (finding,) = only(Run("r", Setup(layers=run.setup.layers[:1]), {}, run.layer_signals), "vanishing_activations")
    assert finding.layers == ("2", "3", "4")


def test_a_layer_further_up_that_recovers_is_not_among_the_lost():
    variance = np.tile([1, 1e-9, 1, 1, 1, 1, 1, 1e-9, 1e-9], (30, 1))
    (finding,) = only(layered(variance, "layers/activation_variance"), "vanishing_activations")
    assert finding.layers == ("layer7", "layer8")


number = st.floats(width=32) | st.just(math.nan)


@settings(max_examples=200, deadline=None)
@given(
    loss=st.lists(number, max_size=60),
    validation=st.lists(number, max_size=90),
    vectors=st.integers(1, 6).flatmap(lambda w: st.lists(st.lists(number, min_size=w, max_size=w), max_size=20)),
)
def test_whatever_was_logged_nothing_crashes_and_findings_are_sound(loss, validation, vectors):
    def curve(values):
        return Series(np.arange(len(values)), np.array(values, float), np.zeros(len(values)))

    width = len(vectors[0]) if vectors else 0
    per_layer = LayerSeries(np.arange(len(vectors)), np.array(vectors, np.float32).reshape(len(vectors), width))
    run = Run(
        "any",
        Setup(layers=tuple(Layer(str(i), "Linear", i) for i in range(width))),
        {"loss/train": curve([*loss, 1.0]), "loss/validation": curve(validation), "grad_norm": curve(loss)},
        {"layers/grad_norm": per_layer, "layers/activation_variance": per_layer},
    )
    diagnosis = diagnose.examine(run)
    for finding in diagnosis.findings:
        assert 0 <= finding.confidence <= 1
        assert finding.window[0] <= finding.window[1]
    assert sum(cause.probability for cause in diagnosis.causes) == pytest.approx(1 if diagnosis.causes else 0)


@settings(max_examples=50, deadline=None)
@given(length=st.integers(0, 7), value=st.floats(-1e6, 1e6))
def test_a_run_that_is_too_short_is_not_judged(length, value):
    values = np.linspace(value, 10 * value, length)
    run = Run("short", scalars={"loss/train": Series(np.arange(length), values, values)})
    assert [finding.id for finding in symptoms.find(run)] == ["too_short_to_tell"] * bool(length)
    assert all(finding.severity is Severity.INFO for finding in symptoms.find(run))
