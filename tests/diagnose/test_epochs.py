"""Whether a loss follows the order of the data: told where it does, and of nothing that only looks like it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diagnose
from diagnose import epochs
from diagnose.run import Run, Series, Setup
from diagnose.setup_rules.beginning import loss_follows_the_data_order

RUNS = Path(__file__).parents[2] / "fixtures" / "runs"

STEPS, BATCH, PER_EPOCH, PER_CLASS = 300, 32, 43, 6


def _run(loss, rate=None, *, per_epoch=PER_EPOCH, ours=True):
    steps = np.arange(1, len(loss) + 1)
    scalars = {"loss/train": Series(steps, np.asarray(loss, float), np.zeros(len(loss)))}
    if rate is not None:
        scalars["lr/group0"] = Series(steps, np.asarray(rate, float), np.zeros(len(loss)))
    config = {"dataset_size": per_epoch * BATCH, "batch_size": BATCH}
    return Run("r", Setup(config=config, environment={"torch": "2"} if ours else {}), scalars)


def _class_after_class(seed):
    """At each new class the loss leaps, by what is its own at that time, and falls faster and faster; it drifts."""
    draw = np.random.default_rng(seed)
    at = np.arange(STEPS) % PER_EPOCH
    own = draw.uniform(1.0, 3.0, PER_EPOCH // PER_CLASS + 1)[at // PER_CLASS]
    now = draw.uniform(0.2, 1.8, STEPS)[np.cumsum(at % PER_CLASS == 0)]
    noise, drift = draw.normal(0, 0.05, STEPS), draw.normal(0, 0.1, STEPS).cumsum()
    return 5 + own * now * (1 - (at % PER_CLASS / PER_CLASS) ** 2) + noise + drift


@pytest.mark.parametrize("seed", range(6))
def test_sorted_data_are_told_where_no_epoch_is_like_another(seed):
    run = _run(_class_after_class(seed))
    found = loss_follows_the_data_order(run)
    assert epochs.comes_in_blocks(run) and found is not None
    assert ("sorted" in found.summary) == (not epochs.repeats(run))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 3), st.sampled_from([0, 0.3, 3.0]), st.integers(60, 600))
def test_batches_drawn_at_random_follow_no_order_whatever_the_loss_does_besides(seed, fall, drift, steps):
    draw, s = np.random.default_rng(seed), np.arange(steps)
    noise = draw.normal(size=steps) if seed % 2 else draw.standard_t(2, size=steps)
    loss = 100 * fall * np.exp(-5 * s / steps) + noise + drift * draw.normal(0, 0.1, steps).cumsum()
    run = _run(loss, per_epoch=15)
    assert not epochs.repeats(run) and not epochs.comes_in_blocks(run)


def test_a_loss_that_falls_as_smoothly_as_without_batches_comes_in_no_blocks():
    s = np.arange(STEPS)
    for loss in (np.exp(-s / 100), 2 + np.sin(s / 5), np.ones(STEPS), np.repeat([2.0, 1.0], STEPS // 2)):
        assert not epochs.comes_in_blocks(_run(loss)) and not epochs.repeats(_run(loss))


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.9])
def test_a_smoothed_loss_of_shuffled_data_is_hardly_ever_taken_for_one_of_sorted_data(kept):
    assert sum(epochs.comes_in_blocks(_run(_smoothed(seed, kept))) for seed in range(100)) <= 3


def _smoothed(seed, kept):
    """Noise with a long upper tail, as losses have, through a running mean of that decay."""
    value, values = 1.0, []
    for one in np.random.default_rng(seed).lognormal(0, 0.7, STEPS):
        value = kept * value + (1 - kept) * one
        values.append(value)
    return values


@pytest.mark.parametrize("seed", range(10))
def test_a_mean_that_begins_anew_with_each_epoch_follows_no_order_of_the_data(seed):
    noise = np.random.default_rng(seed).normal(1.0, 0.1, (7, PER_EPOCH)) + np.exp(-np.arange(7) / 2)[:, None]
    mean = (noise.cumsum(1) / np.arange(1, PER_EPOCH + 1)).ravel()[:STEPS]
    assert not epochs.repeats(_run(mean)) and not epochs.comes_in_blocks(_run(mean))


def test_an_epoch_of_few_values_that_lie_between_its_beginnings_is_read():
    steps = 75 + 50 * np.arange(40)
    loss = Series(steps, np.random.default_rng(0).normal(size=40), np.zeros(40))
    run = Run("r", Setup(config={"dataset_size": 200 * BATCH, "batch_size": BATCH}), {"loss/train": loss})
    assert epochs.length(run, loss) == 4
    assert not epochs.repeats(run)


def test_what_another_tool_may_have_done_to_a_loss_is_not_judged_by_its_turns():
    loss = _class_after_class(0)
    assert epochs.comes_in_blocks(_run(loss)) and not epochs.comes_in_blocks(_run(loss, ours=False))


def test_a_loss_that_follows_a_rate_that_goes_round_with_the_epoch_tells_nothing_of_the_data():
    loss, rate = _class_after_class(0), 0.01 + 0.01 * np.cos(2 * np.pi * np.arange(STEPS) / PER_EPOCH)
    assert epochs.comes_in_blocks(_run(loss, np.full(STEPS, 0.01)))
    assert not epochs.comes_in_blocks(_run(loss, rate))
    again = np.tile(np.random.default_rng(0).normal(size=PER_EPOCH), 7)[:STEPS]
    assert epochs.repeats(_run(again)) and not epochs.repeats(_run(again, rate))


def test_runs_whose_data_came_sorted_are_told_from_all_others():
    for path in sorted((RUNS).glob("*-sequence-*")):
        assert (loss_follows_the_data_order(diagnose.load(path)) is not None) == path.name.startswith("unshuffled")
