"""Functions are replaced as long as somebody listens, and others that replace them too are left alone."""

from __future__ import annotations

import gc
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
    def replaced(originals):
        def ours():
            for ear in one:
                ear.heard += 1
            return originals["function"]()

        return {"function": ours}

    one: Tapped[Ear] = Tapped(owner, ("function",), replaced)
    return one


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


def test_somebody_s_wrapper_around_ours_stays_and_hears_on(owner, tapped):
    ear, calls = Ear(), []
    tapped.add(ear)
    ours = owner.function
    owner.function = theirs = lambda: (calls.append(1), ours())[1]
    tapped.discard(ear)
    assert owner.function is theirs
    assert owner.function() == "plain"
    tapped.add(ear)  # through theirs, and once
    assert owner.function() == "plain"
    assert (ear.heard, len(calls)) == (1, 2)
    owner.function = ours
    tapped.discard(ear)
    assert owner.function is plain


def test_after_somebody_has_put_the_original_back_the_next_one_is_heard_again(owner, tapped):
    ear = Ear()
    tapped.add(ear)
    owner.function = plain
    tapped.discard(ear)
    tapped.add(ear)
    owner.function()
    assert ear.heard == 1


def test_where_there_is_no_such_function_nothing_is_replaced(owner):
    tapped: Tapped[Ear] = Tapped(owner, ("no_such_name",), lambda originals: originals)
    ear = Ear()
    tapped.add(ear)
    tapped.discard(ear)
    assert vars(owner) == {"function": plain}
