"""Statistics on curves: bounded, robust, and independent of the curve's scale."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from diagnose import curves
from diagnose.run import Series

numbers = st.floats(-1e6, 1e6)


def series(values) -> Series:
    values = np.asarray(values, float)
    return Series(np.arange(1, len(values) + 1), values, np.zeros(len(values)))


@given(st.lists(numbers | st.just(np.nan), max_size=1500))
def test_a_reduced_curve_is_short_keeps_its_range_and_its_end(values):
    whole = series(values)
    curve = curves.reduced(whole)
    sound = whole.finite
    assert len(curve) <= curves.POINTS + 1
    if len(sound):
        assert sound.values.min() <= curve.values.min() <= curve.values.max() <= sound.values.max()
        assert curve.steps[-1] == sound.steps[-1]
    assert (np.diff(curve.steps) > 0).all()


def test_a_single_wild_value_moves_nothing():
    values = np.linspace(2, 1, 1000)
    spiked = values.copy()
    spiked[500] = 1e9
    calm, wild = curves.reduced(series(values)), curves.reduced(series(spiked))
    assert np.allclose(calm.values, wild.values, atol=0.01)


def test_the_noise_of_white_noise_is_its_standard_deviation():
    noise = np.random.default_rng(0).normal(0, 0.3, 200)
    assert abs(curves.noise(noise) - 0.3) < 0.06


@given(st.integers(3, 60), st.floats(-10, 10), st.floats(-100, 100))
def test_the_slope_of_a_line_is_its_slope(n, slope, start):
    line = curves.reduced(series(start + slope * np.arange(n)))
    assert abs(curves.slope(line) - slope) < 1e-6


def test_a_trend_is_told_from_noise():
    rng = np.random.default_rng(1)
    flat = [curves.trend_score(curves.reduced(series(rng.normal(0, 1, 60)))) for _ in range(50)]
    falling = curves.trend_score(curves.reduced(series(rng.normal(0, 1, 60) - 0.05 * np.arange(60))))
    assert np.mean(np.abs(flat) > 3) < 0.05
    assert falling < -3
