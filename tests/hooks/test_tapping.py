"""Functions are replaced as long as somebody listens, and others that replace them too are left alone."""

from __future__ import annotations

import gc
from functools import partial
from types import SimpleNamespace

import pytest

from diagnose.hooks.tapping import Tapped


class Ear:
    """Counts what it hears."""

    def __init__(self) -> None:
        self.heard = 0


def plain() -> str:
    return "plain"


@pytest.fixture
def owner():
    return SimpleNamespace(function=plain)


@pytest.fixture
def tapped(owner):
    def replaced(originals, ears):
        def ours():
            for ear in ears:
                ear.heard += 1
            return originals["function"]()

        return {"function": ours}

    return Tapped(owner, ("function",), replaced)


def test_each_listener_hears_each_call_once_and_the_last_one_puts_back(owner, tapped):
    first, second = Ear(), Ear()
    tapped.add(first)
    tapped.add(second)
    assert owner.function() == "plain"
    tapped.discard(first)
    assert owner.function() == "plain"
    tapped.discard(second)
    assert (first.heard, second.heard) == (1, 2)
    assert owner.function is plain


def test_a_listener_that_is_gone_has_left(owner, tapped):
    staying, going = Ear(), Ear()
    tapped.add(staying)
    tapped.add(going)
    del going
    gc.collect()
    assert owner.function is not plain
    del staying
    gc.collect()
    assert owner.function is plain


def test_a_listener_added_twice_hears_once_and_leaves_at_once(owner, tapped):
    ear = Ear()
    tapped.add(ear)
    tapped.add(ear)
    owner.function()
    assert ear.heard == 1
    tapped.discard(ear)
    assert owner.function is plain


def test_somebody_s_wrapper_around_ours_stays_and_the_next_listener_hears_once(owner, tapped):
    ear, calls = Ear(), []
    tapped.add(ear)
    ours = owner.function
    owner.function = theirs = lambda: (calls.append(1), ours())[1]
    tapped.discard(ear)
    assert owner.function is theirs
    assert owner.function() == "plain"
    assert ear.heard == 0
    tapped.add(ear)
    assert owner.function() == "plain"
    assert (ear.heard, len(calls)) == (1, 2)
    tapped.discard(ear)
    assert owner.function is theirs


@pytest.mark.parametrize("wrapped", ["before we came", "after we came"])
@pytest.mark.parametrize("undone", ["before we left", "after we left"])
def test_whenever_somebody_wraps_and_undoes_it_the_next_listener_hears(owner, tapped, wrapped, undone):
    ear = Ear()

    def wrap():
        inner = owner.function
        owner.function = partial(inner)

    if wrapped == "before we came":
        wrap()
    tapped.add(ear)
    if wrapped == "after we came":
        wrap()
    if undone == "before we left":
        owner.function = plain
    tapped.discard(ear)
    owner.function = plain
    tapped.add(ear)
    assert owner.function() == "plain"
    assert ear.heard == 1


def test_where_there_is_no_such_function_nothing_is_replaced(owner):
    tapped: Tapped[Ear] = Tapped(owner, ("no_such_name",), lambda originals, _: originals)
    ear = Ear()
    tapped.add(ear)
    tapped.discard(ear)
    assert vars(owner) == {"function": plain}
