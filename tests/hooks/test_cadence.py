"""When probes look: by fixed periods, or as often as their cost allows."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diagnose
from diagnose.hooks.cadence import BUDGET, LONGEST, Cadence, Timetable


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def looks(timetable: Timetable, clock: Clock, steps: int, *, step_s: float, look_s: float) -> list[int]:
    """The steps at which activations are looked at, where a look and a step take as long as told."""
    seen = []
    for step in range(1, steps + 1):
        if timetable.due("activations", step):
            seen.append(step)
            with timetable.timed("activations"):
                clock.now += look_s
            timetable.look_done("activations")
        clock.now += step_s
        timetable.step_done(step)
    return seen


def test_fixed_periods_are_kept_whatever_they_cost():
    clock = Clock()
    timetable = Timetable(Cadence(activations=4), elastic=False, clock=clock)
    assert looks(timetable, clock, 13, step_s=0.001, look_s=1.0) == [1, 5, 9, 13]


@settings(deadline=None)
@given(st.floats(1e-4, 10), st.floats(1e-6, 10))
def test_an_elastic_timetable_holds_its_budget_within_its_bounds(step_s, look_s):
    clock = Clock()
    timetable = Timetable(Cadence(), elastic=True, clock=clock)
    seen = looks(timetable, clock, 6 * LONGEST, step_s=step_s, look_s=look_s)
    gaps = [b - a for a, b in pairwise(seen[3:])]
    assert all(10 <= gap <= LONGEST for gap in gaps)
    share = look_s / (gaps[-1] * step_s)
    assert share <= 1.2 * BUDGET or gaps[-1] == LONGEST


def test_a_dear_probe_is_looked_at_less_often_and_a_cheap_one_as_often_as_the_cadence_says():
    clock = Clock()
    assert Timetable(Cadence(), elastic=True, clock=clock).periods["activations"] == 10
    cheap, dear = (
        looks(Timetable(Cadence(), elastic=True, clock=clock), clock, 3000, step_s=0.1, look_s=look_s)
        for look_s in (1e-5, 3e-2)
    )
    assert len(cheap) == 300
    assert len(dear) == pytest.approx(3000 / (3e-2 / (BUDGET * 0.1)), abs=5)


def test_what_is_due_at_a_step_stays_due_until_the_step_is_over():
    timetable = Timetable(Cadence(), elastic=False)
    assert timetable.due("updates", 1) and timetable.due("updates", 1)
    timetable.step_done(1)
    assert not timetable.due("updates", 2)


def test_trouble_is_looked_at_closely_for_a_while_and_then_not_again_for_long():
    timetable = Timetable(Cadence(), elastic=True)
    due = []
    for step in range(1, 1001):
        if timetable.due("updates", step):
            due.append(step)
        if 105 <= step < 700:  # trouble throughout
            timetable.zoom(step)
        timetable.step_done(step)
    between = [step for step in due if 101 < step < 600]
    assert between[:11] == [*range(106, 116), 125]
    assert all(b - a == 10 for a, b in pairwise(between[10:]))
    assert {616, 620, 625} <= set(due)


def test_fixed_periods_do_not_zoom():
    timetable = Timetable(Cadence(updates=50), elastic=False)
    timetable.step_done(1)
    timetable.zoom(1)
    assert not timetable.due("updates", 2)


def test_a_period_of_zero_is_never():
    timetable = Timetable(Cadence(noise=0), elastic=True)
    timetable.zoom(1)
    assert not any(timetable.due("noise", step) for step in range(1, 100))


@pytest.mark.parametrize("period", [True, -1, 1.5, "often"])
def test_a_cadence_wants_whole_periods(period):
    with pytest.raises(diagnose.InvalidArgumentError, match="activations"):
        diagnose.Cadence(activations=period)


def test_a_pause_is_not_taken_for_a_longer_step():
    clock = Clock()
    timetable = Timetable(Cadence(), elastic=True, clock=clock)
    looks(timetable, clock, 300, step_s=0.01, look_s=0.002)
    before = timetable.periods["activations"]
    clock.now += 60  # an evaluation
    for step in range(301, 304):
        timetable.step_done(step)
        clock.now += 0.01
    with timetable.timed("activations"):
        clock.now += 0.002
    timetable.look_done("activations")
    assert timetable.periods["activations"] == pytest.approx(before, rel=0.3)
