"""What all symptoms of curves owe: no crash, no finding of nothing, the same answer on any scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnose import symptoms
from diagnose.findings import Severity
from diagnose.run import Run, Series, Setup

CURVES = (
    "late_instability", "loss_spikes", "no_learning", "oscillation", "plateau",
    "underfitting", "undertrained", "validation_stall",
)  # fmt: skip
SCALE_FREE = ("late_instability", "loss_spikes", "oscillation", "plateau", "undertrained", "validation_stall")


def run_of(config=None, **signals):
    scalars = {
        name.replace("__", "/"): Series(np.arange(1, len(v) + 1), np.asarray(v, float), np.zeros(len(v)))
        for name, v in signals.items()
    }
    return Run("a run", Setup(config=config or {}), scalars)


def ills(run):
    return {f.id: f for f in symptoms.find(run, CURVES) if f.severity is not Severity.INFO}


def descent(rng, n=2000, noise=0.05):
    return 0.2 + 2 * np.exp(-8 * np.arange(n) / n) + noise * rng.normal(size=n)


def spiky(rng):
    loss = descent(rng)
    for at in (500, 900, 1400, 1700):
        loss[at : at + 12] += np.linspace(3, 0.2, 12)
    return loss


def swinging(rng):
    return descent(rng) + 0.5 + 0.5 * np.sin(np.arange(2000) / 25)


def shelved(rng):
    return np.where(np.arange(2000) < 1000, 1.5, 0.5) + 0.03 * rng.normal(size=2000) + np.exp(-np.arange(2000) / 50)


def shaken(rng):
    return descent(rng) + np.where(np.arange(2000) < 1400, 0, 0.4) * rng.normal(size=2000)


def climbing_back(rng):
    return descent(rng) + np.clip(np.arange(2000) - 1400, 0, 100) * 0.006


ILL = {
    "loss_spikes": spiky,
    "oscillation": swinging,
    "late_instability": climbing_back,
}


@pytest.mark.parametrize("symptom", ILL)
@pytest.mark.parametrize("draw", range(3))
def test_each_shape_is_named_and_nothing_else_is(symptom, draw):
    assert set(ills(run_of(loss__train=ILL[symptom](np.random.default_rng(draw))))) == {symptom}


@pytest.mark.parametrize("shape", [spiky, swinging, shelved, shaken, climbing_back, descent])
@pytest.mark.parametrize(("scale", "shift"), [(1e-4, 0), (1e4, 0), (1, 100), (3, -40)])
def test_findings_depend_neither_on_the_scale_nor_on_the_zero_of_the_loss(shape, scale, shift):
    loss, lr = shape(np.random.default_rng(0)), np.full(2000, 0.1)
    validation = descent(np.random.default_rng(1))[::20]

    def found(scale, shift):
        run = run_of(loss__train=scale * loss + shift, loss__validation=scale * validation + shift, lr__group0=lr)
        return [(f.id, f.severity, f.window) for f in symptoms.find(run, SCALE_FREE)]

    assert found(scale, shift) == found(1, 0)


@pytest.mark.parametrize("symptom", ILL)
@pytest.mark.parametrize("every", [2, 5])
def test_a_log_of_every_few_steps_tells_the_same(symptom, every):
    loss = ILL[symptom](np.random.default_rng(1))
    assert symptom in ills(run_of(loss__train=loss[::every]))


@pytest.mark.parametrize("draw", range(20))
@pytest.mark.parametrize("noise", [0.02, 0.2, 0.5])
def test_a_healthy_descent_in_noise_is_healthy(draw, noise):
    loss = descent(np.random.default_rng(draw), noise=noise)
    assert not ills(run_of(loss__train=loss, lr__group0=np.full(2000, 0.1)))


@pytest.mark.parametrize("n", [0, 1, 2, 5, 8, 30])
@pytest.mark.parametrize("value", [0.0, 2.302, -5.0, np.nan, np.inf])
def test_short_and_constant_curves_have_no_illness(n, value):
    values = np.full(n, value)
    assert not ills(run_of({"num_classes": 10}, loss__train=values, loss__validation=values, lr__group0=values))


@pytest.mark.parametrize("value", [0.0, 2.5, -5.0])
def test_a_long_constant_curve_is_an_info_at_most(value):
    values = np.full(3000, value)
    assert not ills(run_of(loss__train=values, loss__validation=values, lr__group0=values))


numbers = st.one_of(st.floats(-1e30, 1e30), st.just(np.nan), st.just(np.inf))


@settings(max_examples=150, deadline=None)
@given(
    pattern=st.lists(numbers, min_size=1, max_size=12),
    n=st.integers(0, 400),
    classes=st.sampled_from([None, 0, 1, 2, 10, -3, "many"]),
    seed=st.integers(0, 9),
)
def test_whatever_was_logged_nothing_crashes(pattern, n, classes, seed):
    rng = np.random.default_rng(seed)
    values = np.resize(np.array(pattern), n) * rng.choice([1.0, 0.5, -1.0], n)
    run = run_of(
        {"num_classes": classes, "batch_size": 0},
        loss__train=values, loss__validation=values[::3], accuracy__train=values, accuracy__validation=values[::3],
        lr__group0=values[::2],
    )  # fmt: skip
    for finding in symptoms.find(run, CURVES):
        assert 0 <= finding.confidence <= 1 and finding.window[0] <= finding.window[1]
