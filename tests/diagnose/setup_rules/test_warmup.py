"""Warmup: asked for by large batches, hardly wanted by pretrained weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

LARGE = {"batch_size": 4096}


@pytest.fixture
def started(attached, mlp):
    """started(scheduler of an optimizer, **attach's) -> Run: attached and not stepped yet."""

    def start(make_scheduler=None, **told):
        model = mlp()
        sgd = torch.optim.SGD(model.parameters(), lr=0.4)
        return attached(model, sgd, scheduler=make_scheduler(sgd) if make_scheduler else None, **told)

    return start


def with_linear_warmup(optimizer):
    warmup = lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=50)
    return lr_scheduler.SequentialLR(optimizer, [warmup, lr_scheduler.CosineAnnealingLR(optimizer, 950)], [50])


def cosine(optimizer):
    return lr_scheduler.CosineAnnealingLR(optimizer, 1000)


def test_a_large_batch_that_starts_at_its_peak_is_told_at_attach_time(started, breaks):
    assert breaks("large_batch_without_warmup", started(cosine, config=LARGE))
    assert breaks("large_batch_without_warmup", started(cosine, config={"batch_size": 256, "accumulation_steps": 16}))


@pytest.mark.parametrize(
    "warms_up",
    [
        with_linear_warmup,
        lambda optimizer: lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=100),
        lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 10)),
    ],
)
def test_every_schedule_that_warms_up_keeps_the_rule(started, breaks, warms_up):
    assert breaks("large_batch_without_warmup", started(warms_up, config=LARGE)) is None


def test_without_a_scheduler_and_a_log_nothing_tells_of_warmup(started, breaks):
    assert breaks("large_batch_without_warmup", started(config=LARGE)) is None
    assert breaks("large_batch_without_warmup", started(cosine)) is None
    assert breaks("large_batch_without_warmup", started(cosine, config={**LARGE, "pretrained": True})) is None


def test_the_log_tells_where_no_scheduler_does(with_rates, breaks):
    assert breaks("large_batch_without_warmup", with_rates(np.full(100, 0.4), config=LARGE))
    assert breaks("large_batch_without_warmup", with_rates(np.linspace(0.01, 0.4, 50), config=LARGE)) is None


def test_a_warmup_is_counted_in_epochs(with_rates, breaks):
    rise = np.concatenate([np.linspace(0.01, 1.0, 60), np.linspace(1.0, 0.0, 400)])
    few_steps = {"batch_size": 4096, "dataset_size": 4096 * 10}
    short = breaks("short_warmup_for_large_batch", with_rates(rise, config={**LARGE, "dataset_size": 4096 * 60}))
    assert short is not None and short.evidence["warmup_epochs"] == pytest.approx(1, rel=0.1)
    assert breaks("short_warmup_for_large_batch", with_rates(rise, config=few_steps)) is None
    assert breaks("short_warmup_for_large_batch", with_rates(rise, config=LARGE)) is None


def test_pretrained_weights_need_little_warmup(with_rates, breaks):
    def run(rise, **parts):
        rates = np.concatenate([np.linspace(0, 1e-4, rise), np.linspace(1e-4, 0, 1000 - rise)])
        return with_rates(rates, closed=True, **parts)

    pretrained = {"config": {"pretrained": "resnet50"}}
    assert breaks("long_warmup_in_fine_tuning", run(300, **pretrained))
    assert breaks("long_warmup_in_fine_tuning", run(50, **pretrained)) is None
    assert breaks("long_warmup_in_fine_tuning", run(300)) is None
