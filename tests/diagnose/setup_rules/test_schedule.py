"""The schedule: cosine with warmup, drops, OneCycle, or none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler


@pytest.fixture
def scheduled(attached, mlp):
    """scheduled(scheduler of an optimizer, the optimizer's class, …) -> Run: attached and not stepped yet."""

    def start(make_scheduler, kind=torch.optim.SGD, *, config=None, **settings):
        model = mlp()
        optimizer = kind(model.parameters(), **{"lr": 0.1, **settings})
        return attached(model, optimizer, scheduler=make_scheduler(optimizer), config=config)

    return start


def cosine(optimizer):
    return lr_scheduler.CosineAnnealingLR(optimizer, 1000)


def cosine_after_warmup(optimizer):
    parts = [lr_scheduler.LinearLR(optimizer, 0.1, total_iters=50), lr_scheduler.CosineAnnealingLR(optimizer, 950)]
    return lr_scheduler.SequentialLR(optimizer, parts, [50])


def test_cosine_is_best_after_a_warmup(scheduled, breaks):
    assert breaks("cosine_without_warmup", scheduled(cosine))
    assert breaks("cosine_without_warmup", scheduled(cosine_after_warmup)) is None
    assert breaks("cosine_without_warmup", scheduled(cosine, config={"pretrained": True})) is None
    restarts = scheduled(lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 10))
    assert breaks("cosine_without_warmup", restarts) is None


def test_a_cosine_ends_with_the_run(scheduled, breaks):
    data = {"batch_size": 10, "dataset_size": 1000}  # 100 steps an epoch
    off = "cosine_period_beside_run"
    assert breaks(off, scheduled(cosine, config={**data, "epochs": 300}))
    assert breaks(off, scheduled(cosine, config={**data, "epochs": 10})) is None, "stepped once a step"
    assert breaks(off, scheduled(cosine, config={**data, "epochs": 1000})) is None, "stepped once an epoch"
    assert breaks(off, scheduled(cosine, config={"epochs": 300})) is None


def test_drops_are_a_baseline_and_suit_adam_least(scheduled, breaks):
    def drops(optimizer):
        return lr_scheduler.StepLR(optimizer, 30)

    def gentle(optimizer):
        return lr_scheduler.StepLR(optimizer, 30, gamma=0.5)

    assert breaks("step_decay", scheduled(drops))
    assert breaks("step_decay", scheduled(cosine)) is None
    rule = "aggressive_decay_with_adaptive_optimizer"
    assert breaks(rule, scheduled(drops, torch.optim.AdamW, lr=1e-3))
    assert breaks(rule, scheduled(gentle, torch.optim.AdamW, lr=1e-3)) is None
    assert breaks(rule, scheduled(drops)) is None


def test_a_finished_run_whose_rate_never_fell_is_named(with_rates, breaks):
    sgd = {"optimizer": {"type": "SGD", "groups": [{"lr": 0.1}]}}
    assert breaks("rate_never_decays", with_rates(np.full(100, 0.1), closed=True, **sgd)).confidence == 0.9
    assert breaks("rate_never_decays", with_rates(np.full(100, 0.1), **sgd)) is None, "it may fall yet"
    assert breaks("rate_never_decays", with_rates(np.linspace(0.1, 0, 100), closed=True, **sgd)) is None
    assert breaks("rate_never_decays", with_rates(np.linspace(0, 0.1, 100), closed=True, **sgd)) is None, "a warmup"
    assert breaks("rate_never_decays", with_rates(np.full(100, 0.01), closed=True, **sgd)) is None, "below its peak"
    assert breaks("rate_never_decays", with_rates(np.full(100, 0.1), closed=True)) is None
    assert breaks("rate_never_decays", with_rates(np.full(5, 0.1), closed=True, **sgd)) is None


def one_cycle(peak, **settings):
    return lambda optimizer: lr_scheduler.OneCycleLR(optimizer, max_lr=peak, total_steps=100, **settings)


def test_onecycle_peaks_two_to_ten_times_above_the_baseline(scheduled, breaks):
    rule, baseline = "onecycle_peak_out_of_proportion", {"reference_lr": 0.1}
    assert breaks(rule, scheduled(one_cycle(0.5), config=baseline, momentum=0.9)) is None
    assert breaks(rule, scheduled(one_cycle(3.0), config=baseline, momentum=0.9)).evidence["side"] == "above"
    assert breaks(rule, scheduled(one_cycle(0.1), config=baseline, momentum=0.9)).evidence["side"] == "below"
    assert breaks(rule, scheduled(one_cycle(3.0), momentum=0.9)) is None
    assert breaks(rule, scheduled(cosine, config=baseline)) is None


def test_onecycle_suits_sgd(scheduled, breaks):
    rule = "onecycle_with_adaptive_optimizer"
    assert breaks(rule, scheduled(one_cycle(0.1), torch.optim.AdamW))
    assert breaks(rule, scheduled(one_cycle(1e-3), torch.optim.AdamW)) is None
    assert breaks(rule, scheduled(one_cycle(0.1), momentum=0.9)) is None


def test_momentum_moves_against_the_cycle(scheduled, breaks):
    rule = "onecycle_without_momentum_cycle"
    assert breaks(rule, scheduled(one_cycle(0.1, cycle_momentum=False), momentum=0.9))
    assert breaks(rule, scheduled(one_cycle(0.1), momentum=0.9)) is None
    assert breaks(rule, scheduled(one_cycle(0.1, cycle_momentum=False))) is None, "there is none to move"
