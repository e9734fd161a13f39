"""The drawn course of a rate is the one that torch's and Transformers' schedulers take, step by step."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

import diagnose
from diagnose.run import Series
from diagnose.schedule_advice import ran, rates
from diagnose.schedule_curves import course

PEAK, WARMUP, STEPS = 0.1, 20, 100


def of_torch(optimizer):
    parts = [LinearLR(optimizer, 1e-9, total_iters=WARMUP), CosineAnnealingLR(optimizer, STEPS - WARMUP)]
    return SequentialLR(optimizer, parts, milestones=[WARMUP])


def of_transformers(optimizer):
    try:
        module = importlib.import_module("transformers.optimization")
    except ModuleNotFoundError:
        pytest.skip("transformers is not installed: its schedule was NOT compared")
    return module.get_cosine_schedule_with_warmup(optimizer, WARMUP, STEPS)


@pytest.mark.parametrize("scheduler", [of_torch, pytest.param(of_transformers, marks=pytest.mark.slow)])
def test_what_is_drawn_is_what_a_real_run_logs(scheduler, tmp_path):
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=PEAK)
    schedule = scheduler(optimizer)
    with diagnose.attach(model, optimizer, scheduler=schedule, run_dir=tmp_path):
        for _ in range(STEPS):
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
            schedule.step()
    lr = diagnose.load(tmp_path).scalar("lr/group0")
    taken = lr.steps - 1  # steps before the one that the log counts from 1
    assert lr.values == pytest.approx(course("cosine", PEAK, taken, WARMUP, STEPS), abs=1e-6 * PEAK)
    found = ran(Series(taken, lr.values, lr.wall_times))
    assert (found.shape, found.warmup, found.peak) == ("cosine", WARMUP, pytest.approx(PEAK))
    assert np.abs(lr.values - rates(found, taken)).max() < 0.02 * PEAK
