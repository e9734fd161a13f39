"""Two runs side by side: recorded ones, and made ones where a log lacks something."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import diagnose
from diagnose.cli import main
from diagnose.run import Run, Series, Setup

RUNS = Path(__file__).parents[3] / "fixtures" / "runs"


def recorded(name):
    return str(RUNS / name)


def made(loss, *, validation=None, **config):
    """A run in memory."""

    def series(values):
        values = np.asarray(values, float)
        return Series(np.arange(1, len(values) + 1), values, np.zeros(len(values)))

    scalars = {"loss/train": series(loss)} | ({"loss/validation": series(validation)} if validation is not None else {})
    return Run("made", Setup(config=config), scalars)


FALLING = 2 * np.exp(-np.arange(300) / 60) + 0.1 + 0.02 * np.random.default_rng(0).standard_normal(300)


def test_two_seeds_of_one_set_up_do_not_differ_beyond_chance():
    comparison = diagnose.compare(recorded("plain-classification-0"), recorded("plain-classification-1"))
    assert comparison.worse is None and comparison.explanations == ()
    assert [each.setting for each in comparison.settings] == ["seed"]


@pytest.mark.parametrize("task", ["classification", "language", "convolution", "sequence", "autoencoder", "diffusion"])
def test_neither_seed_of_a_sound_run_is_called_worse(task):
    comparison = diagnose.compare(recorded(f"plain-{task}-0"), recorded(f"plain-{task}-1"))
    assert comparison.worse is None


@pytest.mark.parametrize(
    ("ill", "sound", "setting"),
    [
        ("lr_too_high-classification-0", "plain-classification-0", "lr"),
        ("lr_too_low-autoencoder-0", "plain-autoencoder-0", "lr"),
        ("weight_decay_too_strong-autoencoder-0", "plain-autoencoder-0", "weight_decay"),
        ("dropout_too_strong-autoencoder-0", "plain-autoencoder-0", "dropout"),
    ],
)
def test_the_setting_that_made_the_run_worse_is_named(ill, sound, setting):
    comparison = diagnose.compare(recorded(sound), recorded(ill))
    assert comparison.worse == "b" and comparison.only_in_b
    assert comparison.explanations[0].setting == setting


@pytest.mark.parametrize("pair", [("lr_too_high-classification-0", "plain-classification-1"),
                                  ("large_batch_with_warmup-classification-0", "plain-classification-0")])  # fmt: skip
def test_exchanging_the_runs_exchanges_the_sides_and_nothing_else(pair):
    one, other = (diagnose.compare(*map(recorded, order)) for order in (pair, pair[::-1]))
    swapped = {"a": "b", "b": "a", None: None}
    assert swapped[one.worse] == other.worse
    assert {(d.setting, d.a, d.b) for d in one.settings} == {(d.setting, d.b, d.a) for d in other.settings}
    assert [(o.name, o.a, o.b, swapped[o.better]) for o in one.outcomes] == [
        (o.name, o.b, o.a, o.better) for o in other.outcomes
    ]
    assert one.only_in_a == other.only_in_b
    assert [(e.setting, e.weight) for e in one.explanations] == [(e.setting, e.weight) for e in other.explanations]


def test_a_run_beside_itself_differs_in_nothing():
    comparison = diagnose.compare(*[recorded("plain-language-0")] * 2)
    assert comparison.settings == () and comparison.worse is None
    assert all(outcome.better is None for outcome in comparison.outcomes)


def test_a_rate_that_did_not_follow_the_batch_is_named():
    sound = made(FALLING, batch_size=32, lr=0.1, optimizer="SGD")
    slow = made(FALLING + 0.5, batch_size=512, lr=0.1, optimizer="SGD")
    comparison = diagnose.compare(sound, slow)
    named = {each.setting: each for each in comparison.explanations}
    assert comparison.worse == "b" and "should have followed to 1.6" in named["lr"].because


def test_a_rate_that_followed_the_batch_is_said_to_have():
    sound = made(FALLING, batch_size=32, lr=0.1, optimizer="SGD")
    followed = made(FALLING, batch_size=128, lr=0.4, optimizer="SGD")
    assert any("lr followed batch_size" in note for note in diagnose.compare(sound, followed).notes)


def on_ranks(run, ranks):
    """The same run as a log of ours tells it of so many ranks; one rank is not told."""
    told = {"data_parallel_ranks": ranks} if ranks > 1 else {}
    return replace(run, setup=replace(run.setup, environment={"torch": "2.9", **told}))


@pytest.mark.parametrize("ranks", [(1, 16), (2, 32)])
def test_ranks_that_share_a_step_make_a_larger_batch(ranks):
    few = on_ranks(made(FALLING, batch_size=32, lr=0.1, optimizer="SGD"), ranks[0])
    many = on_ranks(made(FALLING + 0.5, batch_size=32, lr=0.1, optimizer="SGD"), ranks[1])
    comparison = diagnose.compare(few, many)
    assert [(each.setting, each.a, each.b) for each in comparison.settings] == [("data_parallel_ranks", *ranks)]
    because = {each.setting: each.because for each in comparison.explanations}
    assert "data_parallel_ranks changed, and lr should have followed to 1.6" in because["lr"]
    assert "only setting that differs" in because["data_parallel_ranks"]
    followed = on_ranks(made(FALLING, batch_size=32, lr=1.6, optimizer="SGD"), ranks[1])
    assert any("lr followed data_parallel_ranks" in note for note in diagnose.compare(few, followed).notes)


def test_losses_of_different_things_are_not_ranked():
    other = diagnose.compare(made(FALLING, num_classes=10), made(FALLING + 1, num_classes=1000))
    heights = diagnose.compare(made(FALLING), made(100 * FALLING))
    for comparison in (other, heights):
        assert comparison.worse is None and any("not ranked" in note for note in comparison.notes)


def test_a_run_that_broke_is_worse_than_one_that_did_not():
    broken = FALLING.copy()
    broken[200:] = np.nan
    comparison = diagnose.compare(made(broken), made(FALLING))
    assert comparison.worse == "a" and "nan_loss" in comparison.only_in_a
    assert json.dumps(comparison.to_dict(), allow_nan=False)


def test_what_one_log_alone_tells_is_no_difference_but_a_note():
    comparison = diagnose.compare(made(FALLING, lr=0.1), made(FALLING))
    assert any("one log alone: lr" in note for note in comparison.notes)
    assert not any(each.told_by_both for each in comparison.settings)


def test_runs_of_different_length_and_without_validation_are_compared_by_what_they_share():
    comparison = diagnose.compare(made(FALLING, validation=FALLING[::10]), made(FALLING[:200]))
    assert {outcome.name for outcome in comparison.outcomes} >= {"health", "training loss at the end", "steps"}
    assert not any("validation" in outcome.name for outcome in comparison.outcomes)


def test_names_from_the_logs_are_never_markup(capsys):
    comparison = diagnose.compare(made(FALLING, optimizer="[red]<b>SGD"), made(FALLING + 1, optimizer="Adam|x"))
    assert "<b>" not in comparison.to_markdown() and "Adam\\|x" in comparison.to_markdown()


def test_the_command_prints_and_gates(capsys):
    pair = [recorded("plain-classification-0"), recorded("lr_too_high-classification-0")]
    assert main(["compare", *pair]) == 0 and "What explains it best: lr" in " ".join(capsys.readouterr().out.split())
    assert main(["compare", *pair, "--fail-on-worse", "--format", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1 and told["worse"] == "b"
    assert main(["compare", *pair[::-1], "--fail-on-worse", "--format", "md"]) == 0
    assert "## Set-up" in capsys.readouterr().out
    assert main(["compare", pair[0], "no/such/run"]) == 2


def accurate(values, **config):
    """A run in memory whose validation accuracy is known."""
    run = made(FALLING, **config)
    values = np.asarray(values, float)
    accuracy = Series(np.arange(1, len(values) + 1), values, np.zeros(len(values)))
    return replace(run, scalars={**run.scalars, "accuracy/validation": accuracy})


def test_an_accuracy_that_is_no_number_never_wins():
    sound, broken = np.linspace(0.5, 0.9, 100), np.full(100, np.nan)
    for values in (broken, np.r_[sound[:-1], np.nan]):
        outcomes = {each.name: each for each in diagnose.compare(accurate(sound), accurate(values)).outcomes}
        assert outcomes["validation accuracy at the end"].better == "a"


def test_accuracies_of_different_tasks_are_not_ranked():
    low, high = accurate(np.full(100, 0.5), num_classes=1000), accurate(np.full(100, 0.9), num_classes=2)
    outcomes = {each.name: each for each in diagnose.compare(low, high).outcomes}
    assert outcomes["validation accuracy at the end"].better is None


def test_a_rate_that_stayed_where_it_was_is_not_said_to_have_followed():
    one, other = made(FALLING, lr=0.1, batch_size=64), made(FALLING, lr=0.1, batch_size=96)
    assert not any("followed" in note for note in diagnose.compare(one, other).notes)
