"""Set-up rules: each speaks on what it is for, and never above `info`."""

from __future__ import annotations

import pytest

from diagnose import setup_rules
from diagnose.findings import Severity
from diagnose.run import Layer, Run, Setup


def setup(**parts) -> Run:
    return Run("r", Setup(**parts))


def optimizer(kind, **settings):
    return {"type": kind, "groups": [settings]}


DEEP = tuple(Layer(str(i), "Linear", 10) for i in range(8))


@pytest.mark.parametrize(
    ("rule", "ill", "sound"),
    [
        ("lr_outside_usual_range", {"optimizer": optimizer("SGD", lr=8.0)}, {"optimizer": optimizer("SGD", lr=0.1)}),
        (
            "lr_outside_usual_range",
            {"optimizer": optimizer("AdamW", lr=0.1)},
            {"optimizer": optimizer("AdamW", lr=3e-4)},
        ),
        (
            "lr_outside_usual_range",
            {"optimizer": optimizer("Adam", lr=1e-7)},
            {"optimizer": optimizer("Lion", lr=1e-7)},
        ),
        ("deep_without_normalization", {"layers": DEEP}, {"layers": DEEP, "modules": {"LayerNorm": 3}}),
        ("deep_without_normalization", {"layers": DEEP}, {"layers": DEEP[:3]}),
        (
            "saturating_activation_in_deep_net",
            {"layers": DEEP, "modules": {"Sigmoid": 7}},
            {"layers": DEEP, "modules": {"ReLU": 7}},
        ),
        (
            "adam_with_l2",
            {"optimizer": optimizer("Adam", weight_decay=0.01)},
            {"optimizer": optimizer("AdamW", weight_decay=0.01)},
        ),
        (
            "adam_with_l2",
            {"optimizer": optimizer("Adam", weight_decay=0.01)},
            {"optimizer": optimizer("Adam", weight_decay=0)},
        ),
        (
            "no_regularization",
            {"optimizer": optimizer("SGD", weight_decay=0)},
            {"optimizer": optimizer("SGD", weight_decay=1e-4)},
        ),
        (
            "no_regularization",
            {"optimizer": optimizer("SGD", weight_decay=0)},
            {"optimizer": optimizer("SGD", weight_decay=0), "modules": {"Dropout": 1}},
        ),
        (
            "more_parameters_than_samples",
            {"config": {"dataset_size": 100}, "model": {"parameters": 10_000}},
            {"config": {"dataset_size": 10_000}, "model": {"parameters": 10_000}},
        ),
        ("incomplete_record", {"model": {"type": "Net"}}, {}),
    ],
)
def test_a_rule_speaks_on_what_it_is_for_and_not_on_its_near_miss(rule, ill, sound):
    finding = setup_rules.rules()[rule](setup(**ill))
    assert finding is not None
    assert finding.id == rule and finding.kind == "setup_rule" and finding.severity is Severity.INFO
    assert setup_rules.rules()[rule](setup(**sound)) is None


def test_decoupled_adam_is_no_l2():
    assert (
        setup_rules.rules()["adam_with_l2"](
            setup(optimizer=optimizer("Adam", weight_decay=0.01, decoupled_weight_decay=True))
        )
        is None
    )


@pytest.mark.parametrize("rule", setup_rules.rules())
def test_every_rule_has_a_manual_page_with_its_source(rule):
    assert "Source: K" in setup_rules.manual_page(rule)


def test_a_log_without_a_set_up_breaks_no_rule():
    assert setup_rules.find(Run("foreign")) == []


@pytest.mark.parametrize("groups", ["x", [1], [None], {"a": 1}, [], None, [{"lr": "fast", "weight_decay": [1]}]])
def test_whatever_stands_in_a_strangers_set_up_is_no_crash(groups):
    strange = setup(
        optimizer={"type": ["Adam"], "groups": groups},
        config={"batch_size": "many", "dataset_size": None, "epochs": True},
        model={"type": 3, "parameters": "x"},
        modules={"Dropout": "y"},
        scheduler={"type": None},
    )
    assert all(finding.severity is Severity.INFO for finding in setup_rules.find(strange))
