"""The curve of a range test: what is read off one that is known, and how it is shown."""

from __future__ import annotations

import json

import numpy as np
import pytest

from diagnose.hooks.experiments.range_curve import SMOOTHING, has_diverged, range_of, smoothed


def test_the_steepest_point_of_a_known_curve_is_found_through_noise():
    rates = np.geomspace(1e-5, 10, 100)
    fall = 2.3 - 2 / (1 + np.exp(-2 * np.log(rates / 0.01))) + 0.5 * (rates / 1.0) ** 2
    noise = np.random.default_rng(0).normal(0, 0.05, 100)
    found = range_of(rates, fall + noise, "")
    assert 0.01 < found.steepest < 0.06, "the average lags behind by its window: ten points, a factor of 4"
    assert 0.05 < found.lowest < 2


def test_the_curve_is_drawn_told_and_kept_as_plain_data(quick):
    found = quick(zoom=True, lowest=1e-5, steps=40)
    figure = found.plot()
    assert figure.layout.xaxis.type == "log" and len(figure.data) == (4 if found.closer else 2)
    kept = json.loads(json.dumps(found.to_dict()))
    assert kept["suggestion"] == found.suggestion and len(kept["rates"]) == len(kept["losses"]) == len(found.losses)
    assert "Begin with a rate of" in found._repr_html_() or "no rate is suggested" in found._repr_html_()


def test_what_diverges_out_of_noise_has_never_fallen():
    generator = np.random.default_rng(0)
    for _ in range(50):
        noise = 2.3 + generator.normal(0, 0.1, 22)
        noise[15:] = 2.3 * np.exp(0.5 * np.arange(7))
        assert range_of(np.geomspace(1e-3, 10, 22), noise, "").suggestion is None


def test_the_average_is_that_of_its_formula():
    losses = np.random.default_rng(0).normal(size=40)
    for t in (1, 2, 17, 40):
        weights = (1 - SMOOTHING) * SMOOTHING ** np.arange(t)
        assert smoothed(losses)[t - 1] == pytest.approx((weights @ losses[:t][::-1]) / (1 - SMOOTHING**t))


@pytest.mark.parametrize("level", [0.0, 2.0, -50.0])
def test_a_loss_has_diverged_once_it_has_left_its_best_by_several_times_its_fall(level):
    losses = [level + 1 - 0.02 * step for step in range(40)]
    assert not has_diverged(losses)
    assert not has_diverged([*losses, level + 1])
    assert has_diverged([*losses, *[level + 300] * 8])


def test_a_test_that_was_cut_short_does_not_say_that_the_loss_never_fell():
    told = range_of([1e-3, 1e-2, 1e-1], [2.0, 1.9, 1.8], "The loader had no more batches at a rate of 1.").summary
    assert told.startswith("3 steps are too few") and "no more batches" in told
