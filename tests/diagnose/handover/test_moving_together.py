"""Every config of a space is coherent: what is chosen is in it, and what is coupled has followed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diagnose
from diagnose.diagnosis import Change, Prescription
from diagnose.errors import InvalidArgumentError
from diagnose.handover import search_space
from diagnose.handover.plain_json import as_json
from diagnose.prescriptions.applying import apply
from diagnose.prescriptions.settings import from_config

SGD = {"lr": 0.1, "batch_size": 128, "optimizer": "SGD", "epochs": 10, "dataset_size": 50_000}


def asked(config, **changes):
    return search_space(diagnose.what_if(config, **changes), config)


def lead(setting, before, after):
    return Change("raise_lr", "", setting, before, after, "", ())


def test_a_neighbour_beyond_a_threshold_pulls_what_the_recommended_value_does_not():
    config = {**SGD, "optimizer": "Adam", "lr": 1e-3, "normalization": "BatchNorm2d"}
    norms = {one["batch_size"]: one["normalization"] for one in asked(config, batch_size=16).configs()}
    assert norms == {16: "BatchNorm2d", 8: "GroupNorm", 32: "BatchNorm2d"}


def test_the_present_value_pulls_nothing():
    config = {**SGD, "activation": "relu", "initialization": "Glorot"}
    space = asked(config, activation="gelu")
    assert space.config_for({"activation": "relu"}) == config
    assert space.config_for({"activation": "gelu"})["initialization"] == "He"


def test_a_value_chosen_as_it_is_now_is_not_pulled_by_another_choice():
    space = asked(SGD, batch_size=256, lr=0.3)
    assert space.config_for({"batch_size": 512, "lr": 0.1}) == {**SGD, "batch_size": 512}


@pytest.mark.parametrize(("key", "values"), [
    ("warmup_steps", (200, 100, 400)),
    ("warmup_epochs", (0.512, 0.256, 1.02)),
    ("warmup_ratio", (0.0512, 0.0256, 0.102)),
])  # fmt: skip
def test_a_warmup_is_searched_in_the_config_s_own_unit(key, values):
    space = asked({**SGD, key: 0}, warmup_steps=200)
    assert [one[key] for one in space.configs()] == list(values)


def test_a_base_rate_is_searched_where_the_run_showed_a_peak():
    config = {"lr": 0.1, "optimizer": "SGD"}
    space = search_space(Prescription("stability", (lead("lr", 0.4, 0.1),)), config)
    assert [one["lr"] for one in space.configs()] == [0.025, 0.00833, 0.075]


def test_epochs_are_searched_where_the_run_counted_steps():
    config = {"lr": 0.1, "epochs": 10}
    space = search_space(Prescription("generalisation", (lead("steps", 1000, 2000),)), config)
    assert [one["epochs"] for one in space.configs()] == [20, 13, 30]


def test_sizes_move_by_powers_of_two():
    assert asked(SGD, batch_size=300).dimensions[0].values == (300, 128, 512)


def test_a_value_that_is_none_of_the_space_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"batch_size=100 .* choose one of 256, 128, 512"):
        asked(SGD, batch_size=256).config_for({"batch_size": 100})


def test_the_nearest_combinations_come_first():
    choices = list(asked({**SGD, "dropout": 0.1}, batch_size=512, dropout=0.2).choices())
    apart = [sum(choice[key] != choices[0][key] for key in choice) for choice in choices]
    assert apart == sorted(apart) and len(choices) == 9
    assert {key for choice in choices[1:3] for key in choice if choice[key] != choices[0][key]} == set(choices[0])


def test_a_space_keeps_the_config_that_it_was_made_from():
    config = dict(SGD)
    space = asked(config, batch_size=256)
    config["optimizer"] = "Adam"
    assert space.recommended["optimizer"] == "SGD"


def test_json_is_strict_whatever_else_the_config_holds():
    config = {**SGD, "noise": float("nan"), "path": Path("data")}

    def refuse(name):
        raise AssertionError(name)

    told = json.loads(as_json(asked(config, batch_size=256)), parse_constant=refuse)
    assert told["recommended"]["path"] == "data" and told["recommended"]["noise"] is None


def test_what_the_prescription_left_alone_stays_alone_in_every_config():
    """The graph, asked with this config, would pull warmup; the prescription, made from the log, did not."""
    config = {**SGD, "warmup_steps": 0}
    space = search_space(Prescription("stability", (lead("lr", 0.1, 0.03),)), config)
    assert {one["warmup_steps"] for one in space.configs()} == {0} and {one["epochs"] for one in space.configs()} == {
        10
    }


def test_what_a_prescription_pulled_that_this_config_cannot_tell_stays_as_prescribed():
    pulled = Change("lengthen_warmup", "", "warmup_steps", 0, 500, "", (), coupled_to="raise_lr")
    config = {"lr": 0.1, "warmup_steps": 0}
    space = search_space(Prescription("stability", (lead("lr", 0.1, 0.03), pulled)), config)
    assert {one["warmup_steps"] for one in space.configs()} == {500}


KEYS = {
    "lr": st.sampled_from(["lr", "learning_rate"]),
    "batch_size": st.sampled_from(["batch_size", "per_device_train_batch_size"]),
    "epochs": st.sampled_from(["epochs", "num_train_epochs"]),
    "weight_decay": st.sampled_from(["weight_decay", "wd"]),
    "max_norm": st.sampled_from(["max_norm", "max_grad_norm"]),
    "momentum": st.just("momentum"),
    "dropout": st.just("dropout"),
    "label_smoothing": st.just("label_smoothing"),
}
NONE = st.just(0.0)
WITHIN = {
    "lr": st.floats(1e-6, 1), "batch_size": st.integers(1, 8192), "epochs": st.integers(1, 300),
    "weight_decay": st.floats(1e-6, 0.1), "max_norm": st.floats(0.01, 100), "momentum": NONE | st.floats(1e-6, 0.99),
    "dropout": NONE | st.floats(1e-6, 0.5), "label_smoothing": NONE | st.floats(1e-6, 0.2),
}  # fmt: skip
WORDS = {
    "optimizer": ["SGD", "AdamW"], "scheduler": ["none", "cosine", "OneCycleLR"],
    "normalization": ["none", "BatchNorm"], "augmentation": ["none", "randaugment"],
}  # fmt: skip


@st.composite
def questions(draw):
    """A config under some framework's names, and up to four changes to it."""
    keys = {name: draw(keys) for name, keys in KEYS.items() if draw(st.booleans())}
    config = {key: draw(WITHIN[name]) for name, key in keys.items()}
    config |= {name: draw(st.sampled_from(words)) for name, words in WORDS.items() if draw(st.booleans())}
    config |= draw(st.sampled_from([{}, {"dataset_size": 50_000}, {"warmup_epochs": 1}, {"warmup_steps": 0}]))
    names = draw(st.lists(st.sampled_from([*WITHIN, *WORDS]), min_size=1, max_size=4, unique=True))
    return config, {name: draw(WITHIN[name] if name in WITHIN else st.sampled_from(WORDS[name])) for name in names}


@settings(deadline=None, max_examples=150)
@given(questions())
def test_any_space_holds_what_is_chosen_within_sane_ends_under_the_user_s_keys(question):
    config, changes = question
    prescription = diagnose.what_if(config, **changes)
    space = search_space(prescription, config)
    configs = space.configs()
    assert len(space.dimensions) <= 3 and 1 <= len(configs) <= 27
    assert configs[0] == space.recommended == apply(prescription, config).config
    assert len({json.dumps(one) for one in configs}) == len(configs)
    sane = from_config(config)
    for choice, one in zip(space.choices(), configs, strict=True):
        assert list(one) == list(config)
        assert all(one[key] == value for key, value in choice.items())
    for dimension in space.dimensions:
        for value, change in zip(dimension.values[1:], dimension.leads[1:], strict=True):
            if change is not None and isinstance(value, int | float):
                assert sane.clamped(change.setting, value) == pytest.approx(value, rel=0.01)
