"""What holds for every rule: its manual page, its silence on a stranger's log, its patience with any value."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import diagnose
from diagnose import facts, setup_rules
from diagnose.causes import known_causes
from diagnose.findings import Severity
from diagnose.logs import setup_text
from diagnose.run import Layer, Run, Series, Setup


@pytest.mark.parametrize("rule", setup_rules.rules())
def test_every_rule_has_a_manual_page_with_its_source(rule):
    page = setup_rules.manual_page(rule)
    assert "Source: K" in page
    assert ": " in page.splitlines()[0], "the title comes first"


def test_a_log_without_a_set_up_breaks_no_rule():
    assert setup_rules.find(Run("foreign")) == []


def test_every_side_that_a_cause_asks_for_is_one_that_its_rule_tells():
    asked = {rule.where["side"] for cause in known_causes().values() for rule in cause.rules if "side" in rule.where}
    assert asked == {"above", "below", "large"}


SETTINGS = (
    *facts.ACCUMULATION, *facts.PRETRAINED, *facts.EPOCHS, "batch_size", "num_classes", "dataset_size", "task",
    "augmentation", "mixup", "dropout", "label_smoothing", "reference_lr", "reference_batch_size", "reference_epochs",
    "max_norm", "lr", "initial_lr", "max_lr", "weight_decay", "momentum", "decoupled_weight_decay", "gamma", "T_max",
    "cycle_momentum", "type", "parts", "parameters", "trainable_parameters", "dtype", "autocast", "torch", "groups",
    "BatchNorm2d", "LSTM", "Tanh", "Dropout",
)  # fmt: skip
NAMES = (
    "SGD", "Adam", "AdamW", "OneCycleLR", "StepLR", "CosineAnnealingLR", "tabular classification", "text", "image",
    "RandAugment", "float16", "2.9.0", "none", "",
)  # fmt: skip
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(NAMES), st.text(max_size=5),
    st.sampled_from([0, 1, 2, 10, 64, 2048, 1e5, 0.1, 0.5, 1e-9, 10**400, -1]),
)  # fmt: skip
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(SETTINGS), inner, max_size=4),
    max_leaves=8,
)
VALUE = st.sampled_from([*NAMES, 0, 1, 2, 10, 64, 2048, 1e5, 0.1, 0.5, 1e-9, 10**400, -1, True, None]) | ANYTHING
PART = st.dictionaries(st.sampled_from(SETTINGS), VALUE, min_size=5, max_size=25)
OPTIMIZER = st.fixed_dictionaries({"type": ANYTHING, "groups": st.lists(PART, max_size=2) | ANYTHING})
LAYER = st.builds(
    Layer,
    name=st.text(max_size=3),
    type=st.sampled_from(["Linear", "Conv2d", "BatchNorm2d", "LSTM"]),
    parameters=st.integers(0, 10**6),
    trainable=st.booleans(),
    activation=st.sampled_from(["", "ReLU", "Tanh"]),
    init=st.dictionaries(
        st.sampled_from(["weight_std", "fan_in", "fan_out"]),
        st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1e-300, 0.1, 64.0, 1e308]),
    ),
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # a loaded machine draws slowly
@given(
    setup=st.builds(
        Setup,
        config=PART, environment=PART, optimizer=OPTIMIZER | PART, scheduler=PART, model=PART, modules=PART,
        layers=st.lists(LAYER, max_size=9).map(tuple),
    ),
    rates=st.lists(st.floats() | st.sampled_from([0.1, 0.0]), max_size=30),
)  # fmt: skip
def test_whatever_stands_in_a_set_up_is_no_crash(setup, rates):
    steps = np.arange(1, len(rates) + 1)
    run = Run("r", setup, {"lr/group0": Series(steps, np.array(rates, float), np.zeros(len(rates)))})
    for finding in setup_rules.find(run):
        assert finding.severity is Severity.INFO and finding.summary
    assert setup_text.from_json(setup_text.as_json(Setup())) == Setup()


def test_rules_are_told_once_when_attached_at_level_info(tmp_path, caplog):
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=0.1)
    with caplog.at_level(logging.INFO, "diagnose"):
        monitor = diagnose.attach(model, optimizer, run_dir=tmp_path, config={"batch_size": 4})
        at_attach = caplog.text
        for _ in range(3):
            model(torch.randn(4, 4)).sum().backward()
            optimizer.step()
        monitor.close()
    assert "BatchNorm takes its statistics from 4 samples" in at_attach
    assert "Adam with weight_decay 0.1" in at_attach
    assert caplog.text.count("BatchNorm takes") == 1
