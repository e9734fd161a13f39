"""A prescription in a config: under the user's names, in the user's units, and never more than it holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import diagnose
from diagnose.diagnosis import Change, Prescription
from diagnose.prescriptions.applying import apply


def applied(config, *moves):
    changes = tuple(Change("lower_lr", "", name, before, after, "", ()) for name, before, after in moves)
    return apply(Prescription(changes=changes), config)


@pytest.mark.parametrize(
    ("config", "move", "expected"),
    [
        ({"learning_rate": 0.1}, ("lr", 0.1, 0.01), {"learning_rate": 0.01}),
        ({"lr": 0.1}, ("lr", 0.3, 0.03), {"lr": 0.01}),  # the run showed the schedule's peak
        ({"lr": None}, ("lr", 0.3, 0.03), {"lr": 0.03}),
        ({"per_device_train_batch_size": 8}, ("batch_size", 32, 64), {"per_device_train_batch_size": 16}),
        ({"max_grad_norm": None}, ("max_norm", None, 0.5), {"max_grad_norm": 0.5}),
        ({"warmup_ratio": 0.0, "max_steps": 1000}, ("warmup_steps", 0, 50), {"warmup_ratio": 0.05, "max_steps": 1000}),
        ({"epochs": 10}, ("steps", 1000, 2000), {"epochs": 20}),
        ({"max_steps": 1000}, ("epochs", 6.5, 13), {"max_steps": 2000}),
        ({"epochs": 3}, ("steps", 1000, 400), {"epochs": 1}),
        ({"num_train_epochs": 1.0}, ("steps", 1000, 300), {"num_train_epochs": 0.3}),
        ({"scheduler": "constant"}, ("scheduler", None, "cosine"), {"scheduler": "cosine"}),
        ({"shuffle": False}, ("shuffle", None, True), {"shuffle": True}),
    ],
)
def test_a_change_lands_under_the_user_s_name_and_in_the_user_s_unit(config, move, expected):
    result = applied(config, move)
    assert result.config == expected and len(result.made) == 1 and not result.left


@pytest.mark.parametrize(
    ("config", "move"),
    [
        ({"batch_size": 32}, ("lr", 0.1, 0.01)),  # no place for it
        ({"lr": 0.1}, ("lr", None, "a tenth of it")),  # words for a number
        ({"lr": "auto"}, ("lr", 0.1, 0.01)),
        ({"epochs": 1}, ("steps", 1000, 300)),  # there is no third of an epoch for what counts whole ones
        ({"batch_size": 1, "accumulation_steps": 64}, ("batch_size", 64, 32)),
        ({"data": "imagenet"}, ("data", None, "check the batches just before step 3")),  # for a person
        ({"warmup_ratio": 0.0}, ("warmup_steps", 0, 50)),  # of a length that nobody knows
    ],
)
def test_what_the_config_has_no_place_for_is_left_to_a_person(config, move):
    result = applied(config, move)
    assert result.config == config and len(result.left) == 1 and not result.made


def test_what_is_so_already_is_neither_made_nor_left():
    result = applied({"initialization": "He"}, ("initialization", None, "He"))
    assert (result.made, result.left) == ((), ())


@given(
    config=st.dictionaries(st.sampled_from(["lr", "learning_rate", "epochs", "x", "dropout"]),
                           st.none() | st.floats(1e-6, 1) | st.text(max_size=3)),
    moves=st.lists(st.tuples(st.sampled_from(["lr", "epochs", "dropout", "y"]), st.none() | st.floats(1e-6, 1),
                             st.floats(1e-6, 1) | st.text(max_size=3))),
)  # fmt: skip
def test_the_given_config_stays_and_no_key_comes_or_goes(config, moves):
    before = dict(config)
    result = applied(config, *moves)
    assert config == before and set(result.config) == set(config)


def test_a_warmup_in_epochs_is_counted_in_the_epochs_of_the_new_batch():
    config = {"batch_size": 256, "dataset_size": 50_000, "lr": 0.1, "optimizer": "SGD", "warmup_epochs": 0.0}
    result = apply(diagnose.what_if(config, batch_size=2048), config)
    assert result.config["warmup_epochs"] == pytest.approx(5, rel=0.02)


def test_what_follows_a_change_that_was_left_is_left_too():
    config = {"dropout": 0.5, "epochs": 10}
    result = apply(diagnose.what_if(config, augmentation="randaugment"), config)
    assert result.config == config and len(result.left) == 3


def test_every_key_of_one_setting_is_scaled_alike_and_other_keys_are_left_alone():
    result = applied({"lr": 0.1, "max_lr": 0.5, 3: "x"}, ("lr", 0.5, 0.05))
    assert result.config == {"lr": 0.01, "max_lr": 0.05, 3: "x"}
    result = applied({"epochs": 10, "total_steps": 1000}, ("epochs", 10, 20))
    assert result.config == {"epochs": 20, "total_steps": 2000}


@pytest.mark.parametrize(
    ("name", "value", "move"),
    [
        ("lr", [1e-3, 1e-4], ("lr", 1e-3, 1e-4)),
        ("scheduler", {"type": "step"}, ("scheduler", "step", "cosine")),
        ("lr", np.array([1e-3, 1e-4]), ("lr", 1e-3, 1e-4)),
        ("lr", -1, ("lr", 1e-3, 1e-4)),
        ("clip", 0.2, ("max_norm", None, 1.0)),  # of PPO
        ("patience", 5, ("early_stopping", None, "best checkpoint")),  # of a scheduler
    ],
)
def test_what_means_something_else_is_never_overwritten(name, value, move):
    result = applied({name: value}, move)
    assert result.config[name] is value and result.left


def test_a_warmup_told_as_a_share_stays_one():
    result = applied({"warmup": 0.1, "steps": 1000}, ("warmup_steps", 100, 200))
    assert result.config == {"warmup": 0.2, "steps": 1000}


def test_a_batch_is_not_shrunk_without_the_accumulation_that_makes_up_for_it():
    config = {"depth": 4, "batch_size": 64, "lr": 0.1}
    prescription = diagnose.what_if(config, depth=8)
    assert apply(prescription, config).config == {"depth": 8, "batch_size": 64, "lr": 0.1}
    both = {**config, "accumulation_steps": 1}
    assert apply(prescription, both).config == {**both, "depth": 8, "batch_size": 32, "accumulation_steps": 2}


@pytest.mark.parametrize(
    ("config", "move", "expected"),
    [
        ({"weight_decay": 0.0, "l2": 1e-4}, ("weight_decay", 1e-4, 1e-3), {"weight_decay": 0.0, "l2": 1e-3}),
        ({"dropout": 0.0, "hidden_dropout_prob": 0.1}, ("dropout", 0.1, 0.2),
         {"dropout": 0.0, "hidden_dropout_prob": 0.2}),
        ({"beta1": 0.9, "momentum": 0.1}, ("momentum", 0.9, 0.8), {"beta1": 0.8, "momentum": 0.1}),
        ({"warmup": "0.1", "steps": 1000}, ("warmup_steps", 100, 200), {"warmup": 0.2, "steps": 1000}),
        ({"batch_size": np.int64(64)}, ("batch_size", 64, 128), {"batch_size": 128}),
    ],
)  # fmt: skip
def test_of_several_keys_the_one_that_the_run_showed_is_meant(config, move, expected):
    assert applied(config, move).config == expected
