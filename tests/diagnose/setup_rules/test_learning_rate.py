"""The height of the learning rate, against usual ranges and against a reference."""

from __future__ import annotations

import pytest
import torch

from diagnose.setup_rules.learning_rate import scaled_lr


def optimizer(kind, **settings):
    return {"type": kind, "groups": [settings]}


@pytest.mark.parametrize(
    ("kind", "lr", "side"),
    [
        ("SGD", 8.0, "above"), ("SGD", 1e-3, "below"), ("SGD", 0.1, None), ("Adam", 1e-7, "below"),
        ("AdamW", 0.1, "above"), ("AdamW", 3e-4, None), ("PagedAdamW8bit", 0.1, "above"), ("Lion", 1e-7, None),
        ("DAdaptAdam", 1.0, None), ("MuonWithAuxAdam", 0.02, None), ("AdamWScheduleFree", 0.0, None),
    ],
)  # fmt: skip
def test_a_rate_is_held_against_its_own_optimizers_range(told, breaks, kind, lr, side):
    finding = breaks("lr_outside_usual_range", told(optimizer=optimizer(kind, lr=lr)))
    assert (finding and finding.evidence["side"]) == side


def test_a_real_optimizers_rate_is_seen(attached, breaks, mlp):
    model = mlp()
    assert breaks("lr_outside_usual_range", attached(model, torch.optim.SGD(model.parameters(), lr=5.0)))
    assert breaks("lr_outside_usual_range", attached(model, torch.optim.SGD(model.parameters(), lr=0.1))) is None
    assert breaks("lr_outside_usual_range", attached(model)) is None


def test_the_first_rate_of_a_warmup_is_not_low(attached, breaks, mlp):
    model = mlp()
    adam = torch.optim.AdamW(model.parameters(), lr=1e-3)
    warmup = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, step / 1000))
    run = attached(model, adam, scheduler=warmup, steps=3, inputs=torch.randn(8, 32))
    assert run.scalar("lr/group0").values.max() < 1e-5
    assert breaks("lr_outside_usual_range", run) is None


def test_a_schedule_that_multiplies_a_rate_of_one_is_not_high(with_rates, breaks):
    noam = optimizer("Adam", lr=1e-3, initial_lr=1.0)
    assert breaks("lr_outside_usual_range", with_rates([1e-4, 5e-4, 1e-3, 7e-4], optimizer=noam)) is None


def test_fine_tuning_takes_lower_rates(attached, breaks, mlp):
    model = mlp(depth=4)
    model[:6].requires_grad_(requires_grad=False)
    adam = torch.optim.AdamW(model[6].parameters(), lr=1e-5)
    assert breaks("lr_outside_usual_range", attached(model, adam)) is None
    whole = mlp()
    adam = torch.optim.AdamW(whole.parameters(), lr=1e-5)
    assert breaks("lr_outside_usual_range", attached(whole, adam, config={"pretrained": "bert-base"})) is None
    assert breaks("lr_outside_usual_range", attached(whole, adam))


def test_a_large_batch_takes_higher_rates(told, breaks):
    sgd = optimizer("SGD", lr=3.2)
    assert breaks("lr_outside_usual_range", told(optimizer=sgd, config={"batch_size": 8192})) is None
    assert breaks("lr_outside_usual_range", told(optimizer=sgd, config={"batch_size": 256}))


def test_the_reference_is_scaled_in_proportion_and_by_the_root_beyond_8192():
    assert scaled_lr(0.1, 256, 1024) == pytest.approx((0.2, 0.4))
    assert scaled_lr(0.1, 1024, 256) == pytest.approx((0.025, 0.05))
    assert scaled_lr(0.1, 8192, 32768) == pytest.approx((0.2, 0.2))
    assert scaled_lr(0.1, 2048, 32768)[1] == pytest.approx(0.1 * 4 * 2)


@pytest.mark.parametrize(
    ("lr", "config", "side"),
    [
        (0.1, {"batch_size": 4096}, "below"),
        (1.6, {"batch_size": 4096}, None),
        (0.4, {"batch_size": 4096}, None),
        (6.4, {"batch_size": 4096}, "above"),
        (0.8, {"batch_size": 256, "accumulation_steps": 16}, None),
        (0.8, {"batch_size": 256}, "above"),
        (12.8, {"batch_size": 32768}, "above"),
        (0.1, {"batch_size": 256}, None),
        (0.1, {}, None),
    ],
)
def test_a_rate_follows_from_the_reference_and_the_batch(told, breaks, lr, config, side):
    reference = {"reference_batch_size": 256, "reference_lr": 0.1}
    run = told(optimizer=optimizer("SGD", lr=lr), config={**reference, **config})
    finding = breaks("lr_not_scaled_with_batch", run)
    assert (finding and finding.evidence["side"]) == side


def test_without_a_reference_nothing_is_said_of_scaling(told, breaks):
    assert (
        breaks("lr_not_scaled_with_batch", told(optimizer=optimizer("SGD", lr=9.0), config={"batch_size": 4096}))
        is None
    )
