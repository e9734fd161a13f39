"""Long curves as few points: what must not be lost."""

import numpy as np
import pytest

from diagnose.dashboard.layer_tree import READABLE, rows_of
from diagnose.dashboard.reduction import reduced, within
from diagnose.run import Series


def _series(values, steps=None):
    steps = np.arange(len(values)) if steps is None else steps
    return Series(steps, np.asarray(values, float), np.zeros(len(values)))


def test_a_dip_and_a_spike_side_by_side_are_both_kept_with_the_ends():
    values = np.random.default_rng(0).normal(size=200_000)
    values[[100_000, 100_001]] = 50, -50
    kept = reduced(_series(values), 1_000)
    assert len(kept) <= 1_002
    assert {0, 100_000, 100_001, 199_999} <= set(kept.steps.tolist())


def test_a_line_is_broken_exactly_where_values_are_not_finite():
    values = np.ones(100_000)
    values[40_000:40_010] = np.nan
    kept = reduced(_series(values), 500)
    gap = np.flatnonzero(np.isnan(kept.values))
    assert len(gap) == 1
    assert kept.steps[gap[0] - 1] == 39_999 and kept.steps[gap[0] + 1] == 40_010


def test_a_stretch_without_a_log_is_a_gap_and_a_slower_cadence_is_none():
    resumed = np.concatenate([np.arange(1000), np.arange(5000, 6000)])
    assert np.isnan(reduced(_series(np.ones(2000), resumed), 500).values).sum() == 1
    slower = np.concatenate([np.arange(1000), np.arange(1000, 6000, 100)])
    assert not np.isnan(reduced(_series(np.ones(1050), slower), 500).values).any()


def test_a_window_keeps_the_neighbours_that_its_lines_come_from():
    assert within(_series(np.ones(100)), (40, 50)).steps.tolist() == list(range(39, 52))


def test_nothing_finite_gives_nothing():
    assert len(reduced(_series([np.nan] * 5), 100)) == 0


@pytest.mark.parametrize("depth", [None, 1])
def test_every_layer_is_in_exactly_one_row(depth):
    names = [f"a.{block}.{layer}" for block in range(10) for layer in range(20)]
    rows = rows_of(names, depth)
    assert len(rows) <= READABLE
    assert sorted(place for row in rows for place in row.members) == list(range(200))
