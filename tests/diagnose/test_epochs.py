"""Whether a loss follows the order of the data: told where it does, and of nothing that only looks like it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnose import epochs
from diagnose.run import Run, Series, Setup

STEPS, BATCH = 400, 32


def _run(loss, rate=None, *, samples=43 * BATCH):
    steps = np.arange(1, len(loss) + 1)
    scalars = {"loss/train": Series(steps, np.asarray(loss, float), np.zeros(len(loss)))}
    if rate is not None:
        scalars["lr/group0"] = Series(steps, np.asarray(rate, float), np.zeros(len(loss)))
    return Run("r", Setup(config={"dataset_size": samples, "batch_size": BATCH}), scalars)


def _class_after_class(seed, steps=STEPS, *, per_epoch=43, per_class=4):
    """At each new class the loss leaps by what is that class's own, falls while it lasts, and drifts besides."""
    draw = np.random.default_rng(seed)
    leaps = draw.uniform(1.0, 3.0, per_epoch // per_class + 1)
    at = np.arange(steps) % per_epoch
    noise, drift = draw.normal(0, 0.05, steps), draw.normal(0, 0.3, steps).cumsum()
    return 5 + leaps[at // per_class] * (1 - (at % per_class) / per_class) + noise + drift


@pytest.mark.parametrize("seed", range(8))
def test_leaps_at_the_same_steps_of_each_epoch_tell_sorted_data_whatever_the_level_does(seed):
    assert epochs.repeats(_run(_class_after_class(seed)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 0.9, 1.0]), st.integers(60, 600))
def test_noise_smoothed_or_summed_follows_no_order(seed, kept, steps):
    noise = np.random.default_rng(seed).normal(size=steps)
    value, values = 0.0, []
    for one in noise:
        value = kept * value + one
        values.append(value)
    assert not epochs.repeats(_run(values, samples=15 * BATCH))


def test_a_loss_that_follows_a_rate_that_goes_round_with_the_epoch_tells_nothing_of_the_data():
    loss, rate = _class_after_class(0), 0.01 + 0.01 * np.cos(2 * np.pi * np.arange(STEPS) / 43)
    assert epochs.repeats(_run(loss, np.full(STEPS, 0.01)))
    assert not epochs.repeats(_run(loss, rate))


@pytest.mark.parametrize("loss", [np.ones(STEPS), np.linspace(2, 1, STEPS), np.repeat([2.0, 1.0], STEPS // 2)])
def test_a_loss_that_hardly_moves_follows_no_order(loss):
    assert not epochs.repeats(_run(loss))


def test_leaps_are_told_in_time_however_long_an_epoch_is():
    draw = np.random.default_rng(0)
    assert not epochs.repeats(_run(draw.normal(size=300_000).cumsum(), samples=90_000 * BATCH))
