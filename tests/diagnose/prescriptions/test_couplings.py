"""The coupling graph: each document's claim as a number, and what holds for any settings."""

from __future__ import annotations

import re
from math import isfinite, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnose.diagnosis import Change
from diagnose.prescriptions import scaling
from diagnose.prescriptions.couplings import GRAPH
from diagnose.prescriptions.following import followers, move_of
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS
from diagnose.prescriptions.remedies import known_remedies
from diagnose.prescriptions.settings import Settings, from_config

IMAGENET = {"lr": 0.1, "batch_size": 256, "optimizer": "SGD", "epochs": 90, "dataset_size": 1_281_167, "momentum": 0.9}


def moved(config, **changes):
    """By setting, what the changes pull along."""
    before = from_config(config)
    leads = [Change("lower_lr", "", name, before.values.get(name), value, "", ()) for name, value in changes.items()]
    return {change.setting: change for change in followers(leads, before)}


def after(config, **changes):
    return {name: change.after for name, change in moved(config, **changes).items()}


@pytest.mark.parametrize(("batch", "rate"), [(512, 0.2), (4096, 1.6), (8192, 3.2), (32768, 3.2 * 2)])
def test_sgd_s_rate_follows_the_batch_linearly_to_8192_and_by_the_root_beyond(batch, rate):
    assert scaling.lr_for_batch(0.1, 256, batch) == pytest.approx(rate)


@given(b=st.integers(1, 500), new=st.integers(1, 500), lr=st.floats(1e-6, 1.0))
def test_a_batch_that_shrinks_keeps_the_noise_scale_of_sgd_and_one_that_grows_the_linear_rule(b, new, lr):
    there = scaling.lr_for_batch(lr, b, new, dataset_size=1000)
    if new <= b:
        assert scaling.noise_scale(there, new, 1000) == pytest.approx(scaling.noise_scale(lr, b, 1000))
    else:
        assert there == pytest.approx(lr * new / b)


@given(b=st.integers(1, 1000), new=st.integers(1, 999), samples=st.integers(1000, 10**6))
def test_the_rate_rises_with_the_batch_never_beyond_the_linear_rule_and_without_a_jump(b, new, samples):
    here, there = (scaling.lr_for_batch(0.1, b, each, dataset_size=samples) for each in (new, new + 1))
    assert here <= there <= here * (new + 1) / new * 1.01
    assert here <= 0.1 * new / b * (1 + 1e-9)


@pytest.mark.parametrize("name", ["adamw_torch", "torch.optim.AdamW", "paged_adamw_8bit", "FusedAdam", "AdamW (fused)",
                                  "adamw_torch_fused", "RAdam", "nadamw", "adam"])  # fmt: skip
def test_adam_is_known_under_every_usual_name(name):
    assert after({"optim": name, "lr": 1e-3, "batch_size": 64}, batch_size=256)["lr"] == pytest.approx(2e-3)
    assert after({"optim": name, "lr": 1e-3}, optimizer="SGD")["lr"] == pytest.approx(0.03)


@pytest.mark.parametrize("name", ["sgd", "torch.optim.SGD", "FusedSGD", "SGDW", "sgd_momentum"])
def test_so_is_sgd(name):
    assert after({"optim": name, "lr": 0.1, "batch_size": 64}, batch_size=256)["lr"] == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["Lion", "Adafactor", "RMSprop", "LAMB", "schedule_free_adamw", "Muon", "Prodigy"])
def test_no_number_is_made_up_for_an_optimizer_that_no_document_speaks_of(name):
    config = {"optim": name, "lr": 1e-3, "batch_size": 64, "weight_decay": 0.1, "momentum": 0.9}
    assert after(config, batch_size=256) == {}
    assert "lr" not in after(config, momentum=0.95)
    assert "lr" not in after({**config, "optim": "SGD"}, optimizer=name)


@given(a=st.integers(1, 10**5), b=st.integers(1, 10**5), c=st.integers(1, 10**5))
def test_scaling_in_two_steps_is_scaling_in_one(a, b, c):
    direct = scaling.lr_for_batch(0.1, a, c)
    assert scaling.lr_for_batch(scaling.lr_for_batch(0.1, a, b), b, c) == pytest.approx(direct)
    assert scaling.lr_for_batch(direct, c, a) == pytest.approx(0.1)


def test_adam_s_rate_follows_by_the_root():
    pulled = after({"lr": 1e-3, "batch_size": 64, "optimizer": "AdamW", "weight_decay": 0.01}, batch_size=256)
    assert pulled["lr"] == pytest.approx(2e-3)
    assert pulled["weight_decay"] == pytest.approx(0.02)  # the same forgetting per sample: λ ∝ B/η


def test_with_the_linear_rule_weight_decay_stays():
    assert "weight_decay" not in after({**IMAGENET, "weight_decay": 1e-4}, batch_size=1024)


@pytest.mark.parametrize(("batch", "epochs"), [(2048, 5), (16384, 10)])
def test_large_batches_warm_up_over_epochs(batch, epochs):
    assert after(IMAGENET, batch_size=batch)["warmup_steps"] == round(epochs * 1_281_167 / batch)


def test_accumulated_micro_batches_count_as_one_batch():
    assert after(IMAGENET, accumulation_steps=4)["lr"] == after(IMAGENET, batch_size=1024)["lr"]


def test_a_small_batch_wants_another_normalization_than_batchnorm():
    assert after({"batch_size": 64, "norm_layer": "BatchNorm2d"}, batch_size=8)["normalization"] == "GroupNorm"
    assert "normalization" not in after({"batch_size": 64, "norm_layer": "LayerNorm"}, batch_size=8)


def test_steps_of_another_batch_see_as_many_samples():
    assert after({"batch_size": 32, "max_steps": 1000}, batch_size=128)["steps"] == 250


def test_a_higher_rate_wants_a_smaller_clip_threshold_but_no_less_than_a_third_at_once():
    assert after({"lr": 0.1, "max_norm": 3.0}, lr=0.2)["max_norm"] == pytest.approx(1.5)
    assert after({"lr": 0.01, "max_norm": 3.0}, lr=0.1)["max_norm"] == pytest.approx(1.0)


def test_a_clip_threshold_stays_where_the_old_rate_measured_nothing_and_under_adam():
    assert "max_norm" not in after({"lr": 1e-8, "max_norm": 3.0}, lr=0.1)
    assert "max_norm" not in after({"lr": 1e-3, "max_norm": 3.0, "optimizer": "AdamW"}, lr=3e-3)


def test_momentum_moves_against_the_rate_in_cycles_only():
    cycle = {"lr": 0.1, "momentum": 0.9, "scheduler": "OneCycleLR", "optimizer": "SGD"}
    assert after(cycle, lr=0.3)["momentum"] == pytest.approx(1 - 1.0 * 0.3)  # c = (1 − 0.9) / 0.1
    assert "momentum" not in after({**cycle, "scheduler": "cosine"}, lr=0.3)


@given(beta=st.floats(0.1, 0.98), lr=st.floats(1e-4, 0.1))
def test_momentum_and_rate_keep_the_length_of_a_long_step(beta, lr):
    there = scaling.lr_for_momentum(lr, 0.9, beta)
    assert there / (1 - beta) == pytest.approx(lr / 0.1)
    assert scaling.momentum_for(0.9, lr, there) == pytest.approx(max(beta, 0.5))


@pytest.mark.parametrize(
    ("config", "changes", "stays"),
    [
        ({"width": 64, "dropout": 0.7}, {"width": 128}, "dropout"),  # 0.5 is as far as it goes upwards
        ({"lr": 5.0, "batch_size": 32, "optimizer": "SGD"}, {"batch_size": 64}, "lr"),
        ({"weight_decay": 0.4, "batch_size": 32, "lr": 0.1, "optimizer": "SGD"}, {"batch_size": 64}, "weight_decay"),
    ],
)
def test_what_lies_beyond_its_sane_range_already_is_never_pulled_the_other_way(config, changes, stays):
    assert stays not in after(config, **changes)


@given(momentum=st.floats(0.0, 0.99), raised=st.floats(1, 1000))
def test_no_rate_leaves_less_momentum_than_a_half_or_what_there_was(momentum, raised):
    assert min(momentum, 0.5) <= scaling.momentum_for(momentum, 0.1, 0.1 * raised) <= momentum + 1e-12


def test_strong_augmentation_cuts_regularisation_and_takes_longer():
    config = {"dropout": 0.5, "weight_decay": 1e-3, "epochs": 100, "augmentation": None}
    pulled = after(config, augmentation="timm_RandAugment")
    assert pulled["dropout"] == pytest.approx(0.3) and pulled["weight_decay"] == pytest.approx(6e-4)
    assert 150 <= pulled["epochs"] <= 200
    assert after(config, augmentation="flip") == {}


def test_batchnorm_that_is_added_cuts_dropout():
    assert 0.5 <= after({"dropout": 0.4, "norm": None}, normalization="nn.BatchNorm2d")["dropout"] / 0.4 <= 0.7
    assert "dropout" not in after({"dropout": 0.4, "norm": "BatchNorm2d"}, normalization="LayerNorm")


def test_label_smoothing_cuts_regularisation_a_little_and_asks_for_a_new_temperature():
    pulled = after({"label_smoothing": 0.0, "dropout": 0.5}, label_smoothing=0.1)
    assert 0.4 < pulled["dropout"] < 0.5 and "fit" in pulled["temperature"]


def test_a_deeper_net_takes_memory_from_the_batch_and_accumulates_what_it_loses():
    pulled = after({"depth": 4, "batch_size": 64, "lr": 0.1, "dropout": 0.1, "norm": None}, depth=8)
    assert (pulled["batch_size"], pulled["accumulation_steps"]) == (32, 2)
    assert "lr" not in pulled  # the step sees as many samples as before
    assert pulled["dropout"] == pytest.approx(0.2) and pulled["normalization"] == "BatchNorm"


@pytest.mark.parametrize(("batch", "depth", "expected"), [
    (96, 8, {"batch_size": 48, "accumulation_steps": 2}), (60, 12, {"batch_size": 20, "accumulation_steps": 3}),
    (31, 8, {"batch_size": 15, "accumulation_steps": 2}), (64, 5, {"batch_size": 32, "accumulation_steps": 2}),
    (1, 8, {}), (64, 4.5, {}),
])  # fmt: skip
def test_what_a_deeper_net_takes_from_the_batch_is_accumulated_to_the_last_sample(batch, depth, expected):
    pulled = after({"depth": 4, "batch_size": batch}, depth=depth)
    assert {name: pulled[name] for name in ("batch_size", "accumulation_steps") if name in pulled} == expected


def test_adam_s_rate_falls_with_the_width_of_wide_layers_alone():
    assert after({"width": 128, "lr": 1e-3, "optimizer": "Adam"}, width=512)["lr"] == pytest.approx(2.5e-4)
    assert "lr" not in after({"width": 2, "lr": 1e-3, "optimizer": "Adam"}, width=64)
    assert "lr" not in after({"width": 128, "lr": 0.1, "optimizer": "SGD"}, width=512)


def test_another_backbone_starts_every_tuned_setting_again():
    pulled = after({"model": "resnet50", "lr": 0.1, "batch_size": 64, "dropout": 0.1}, model="vit_b_16")
    assert pulled == {"lr": "search again", "batch_size": "search again", "dropout": "search again"}


def test_an_activation_brings_its_initialisation():
    assert after({"activation": "Tanh"}, activation="ReLU")["initialization"] == "He"
    assert after({"activation": "ReLU"}, activation="Tanh")["initialization"] == "Glorot"
    assert after({"activation": "ReLU"}, activation="nn.Sigmoid()")["initialization"] == "Glorot"
    assert "initialization" not in after({"activation": "Tanh", "init": "kaiming_normal"}, activation="ReLU")


def test_an_optimizer_of_another_kind_brings_its_usual_rate():
    assert after({"optimizer": "SGD", "lr": 0.1}, optimizer="AdamW")["lr"] == pytest.approx(1e-3)
    assert "lr" not in after({"optimizer": "Adam", "lr": 3e-4}, optimizer="AdamW")


def test_a_lower_rate_of_an_unsteady_run_is_warmed_up_and_one_of_a_steady_run_trains_longer():
    lowered = [Change("lower_lr", "", "lr", 1.0, 0.25, "", ())]
    for unsteady, pulled in ((True, {"warmup_steps": 50}), (False, {"epochs": 20})):
        settings = Settings({"lr": 1.0, "epochs": 10}, length=1000, unsteady=unsteady)
        assert {change.setting: change.after for change in followers(lowered, settings)} == pulled


def test_a_value_beyond_the_sane_range_is_clamped_and_says_so():
    lr = moved({"lr": 5e-3, "batch_size": 32, "optimizer": "Adam"}, batch_size=8192)["lr"]
    assert lr.after == pytest.approx(0.01) and "as far as this setting sensibly goes" in lr.because


VALUES = {
    "lr": st.floats(1e-7, 3.0), "batch_size": st.integers(1, 2**20), "accumulation_steps": st.integers(1, 64),
    "epochs": st.integers(1, 1000), "warmup_steps": st.integers(0, 1000), "max_norm": st.floats(1e-3, 1e3),
    "momentum": st.floats(0, 0.99), "weight_decay": st.floats(0, 0.3), "dropout": st.floats(0, 0.5),
    "label_smoothing": st.floats(0, 0.2), "width": st.integers(1, 4096), "depth": st.integers(1, 200),
    "optimizer": st.sampled_from(["SGD", "Adam", "AdamW", "Lion", ""]),
    "scheduler": st.sampled_from(["cosine", "OneCycleLR", "my own", ""]),
    "normalization": st.sampled_from(["BatchNorm2d", "LayerNorm", "none"]),
    "augmentation": st.sampled_from(["randaugment", "flip", "none"]),
    "activation": st.sampled_from(["ReLU", "Tanh"]), "model": st.sampled_from(["a", "b"]),
}  # fmt: skip
configs = st.fixed_dictionaries({}, optional={**VALUES, "dataset_size": st.integers(1, 10**7)})
changes = st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.tuples(st.just(name), VALUES[name]))


@given(configs, changes)
def test_any_change_settles_and_leaves_every_setting_in_its_sane_range(config, change):
    name, value = change
    pulled = moved(config, **{name: value})
    assert name not in pulled
    for setting, one in pulled.items():
        assert one.remedy in known_remedies() and one.sources and one.because
        if isinstance(one.after, int | float):
            known = HYPERPARAMETERS[setting]
            highest = max(known.most, config.get(setting) or 0)
            assert isfinite(one.after) and known.least <= one.after <= highest
            assert not known.whole or one.after == int(one.after)


@given(configs, changes)
def test_a_number_is_never_invented_for_a_setting_that_nobody_told(config, change):
    numbers = {"lr", "max_norm", "momentum", "weight_decay", "dropout", "epochs"}
    pulled = after(config, **{change[0]: change[1]})
    assert not {name for name in numbers & set(pulled) if config.get(name) is None}


def test_every_edge_joins_known_settings_names_its_source_and_gives_a_formula():
    known = {*HYPERPARAMETERS, "temperature"}
    assert len({coupling.id for coupling in GRAPH}) == len(GRAPH)
    for coupling in GRAPH:
        assert {coupling.source, coupling.target} <= known
        assert coupling.formula and coupling.because and all(re.match(r"K\d\d", one) for one in coupling.sources)


@pytest.mark.parametrize("row", ["K07", "K08", "K09", "K10", "K21", "K24", "K25", "K27", "K44", "K46", "K47", "K48",
                                 "K49", "K64", "K65", "K67", "K69"])  # fmt: skip
def test_every_claim_of_a_coupling_is_an_edge(row):
    assert any(row in source for coupling in GRAPH for source in coupling.sources)


@pytest.mark.parametrize("name", sorted(HYPERPARAMETERS))
def test_every_move_of_a_hyperparameter_is_a_remedy(name):
    for before, later in ((1, 2), (2, 1), (None, 1), ("a", "b"), ("none", "b")):
        remedy = move_of(name, before, later)
        assert not remedy or remedy in known_remedies()


def test_the_root_is_the_limit_of_the_rule_for_adam():
    assert scaling.adaptive_lr_for_batch(1e-3, 64, 128) == pytest.approx(1e-3 * sqrt(2))


def test_rates_of_two_kinds_of_optimizer_pull_nothing_by_their_ratio():
    config = {"optimizer": "SGD", "lr": 0.1, "epochs": 10, "max_norm": 1.0, "max_steps": 1000}
    assert set(after(config, optimizer="AdamW")) == {"lr"}
    assert set(after({**config, "optimizer": "AdamW", "lr": 1e-3}, optimizer="SGD")) == {"lr"}


def test_a_change_that_is_no_setting_leads_and_pulls_nothing():
    lead = Change("fix_labels", "", "labels", None, "look at them", "", ())
    assert not list(followers([lead], from_config({"lr": 0.1, "batch_size": 32})))
