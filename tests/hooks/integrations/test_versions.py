"""A framework's version that is none of the tested ones is told in one line, once."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from diagnose.hooks.integrations import versions
from diagnose.hooks.integrations.splits import split_of, without_split


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    monkeypatch.setattr(versions, "_told", set())


def test_an_unknown_version_is_told_once_and_that_is_all(caplog):
    versions.expect("pytest", "0.1", "0.2")
    versions.expect("pytest", "0.1", "0.2")
    (record,) = caplog.records
    assert record.getMessage() == (
        f"diagnose: pytest {version('pytest')} is none of the versions that its integration is tested with (0.1, 0.2); "
        "going on with it."
    )


def test_a_tested_version_and_one_that_nobody_knows_are_not_worth_a_word(caplog):
    versions.expect("pytest", ".".join(version("pytest").split(".")[:2]))
    versions.expect("no-such-package", "1.0")
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "bare", "split"),
    [
        ("train_loss", "loss", "train"),
        ("val/acc", "acc", "validation"),
        ("eval_accuracy", "accuracy", "validation"),
        ("loss_valid", "loss", "validation"),
        ("trainable", "trainable", "train"),
        ("value_loss", "value_loss", "train"),
    ],
)
def test_a_metrics_name_tells_its_split(name, bare, split):
    assert (without_split(name), split_of(name)) == (bare, split)
