"""What a page is told of what came, changed and went."""

from typing import NamedTuple

import pytest

from diagnose.dashboard import changes
from diagnose.dashboard.changes import Ledger


class One(NamedTuple):
    name: str


OLD, NEW = One("old"), One("new")


def test_a_look_that_began_earlier_and_ended_later_takes_nothing_back():
    ledger = Ledger()
    ledger.take([OLD], asked=1)
    ledger.take([OLD, NEW], asked=3)
    revision = ledger.since().revision
    ledger.take([OLD], asked=2)
    assert not ledger.since(revision).any
    assert ledger.since().changed == [OLD, NEW]


def test_of_the_many_that_are_gone_the_older_are_forgotten_and_no_page_misses_one(monkeypatch):
    monkeypatch.setattr(changes, "MOST_GONE", 4)
    ledger, revisions = Ledger(), []
    for number in range(12):
        ledger.take([One(str(number))], asked=number)
        revisions.append(ledger.since().revision)
    told = [ledger.since(revision) for revision in revisions]
    assert len(ledger._gone) <= 4
    assert all(one.whole or one.gone == [str(gone) for gone in range(number, 11)] for number, one in enumerate(told))
    assert [one.whole for one in told] == sorted((one.whole for one in told), reverse=True)
    assert not told[-2].whole


@pytest.mark.parametrize("revision", ["", "x", "x:1", ":"])
def test_a_page_whose_revision_is_unknown_is_told_everything(revision):
    ledger = Ledger()
    ledger.take([OLD], asked=1)
    assert ledger.since(revision).whole
