"""Schedules are named by the rates that torch's own schedulers gave."""

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as torchs

from diagnose.prescriptions.doses.rate import decay_lr
from diagnose.run import Run, Series
from diagnose.schedule_names import named_schedule

STEPS = 400


def logged(make, steps=STEPS):
    """The rates of a real scheduler, step by step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return Series(np.arange(1, steps + 1), np.array(rates), np.zeros(steps))


def warmed_up(after):
    def make(optimizer):
        rising = torchs.LinearLR(optimizer, 0.01, total_iters=40)
        return torchs.SequentialLR(optimizer, [rising, after(optimizer)], [40])

    return make


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("constant", lambda o: torchs.ConstantLR(o, 1.0)),
        ("linear", lambda o: torchs.LinearLR(o, 1.0, 0.1, STEPS)),
        ("cosine", lambda o: torchs.CosineAnnealingLR(o, STEPS)),
        ("cosine", lambda o: torchs.CosineAnnealingLR(o, STEPS, eta_min=0.02)),
        ("polynomial", lambda o: torchs.PolynomialLR(o, STEPS, power=2.0)),
        ("exponential", lambda o: torchs.ExponentialLR(o, 0.99)),
        ("steps", lambda o: torchs.StepLR(o, 100, 0.1)),
        ("cycles", lambda o: torchs.CosineAnnealingWarmRestarts(o, 100)),
        ("warmup + cosine", warmed_up(lambda o: torchs.CosineAnnealingLR(o, STEPS - 40))),
        ("warmup + linear", warmed_up(lambda o: torchs.LinearLR(o, 1.0, 0.01, STEPS - 40))),
        ("warmup + constant", warmed_up(lambda o: torchs.ConstantLR(o, 1.0))),
    ],
)
def test_torchs_schedules_are_called_by_their_names(name, make):
    found = named_schedule(logged(make))
    assert found.name == name
    assert found.peak == pytest.approx(0.1) and found.error < 0.01
    assert abs(found.warmup_steps - (41 if name.startswith("warmup") else 0)) <= 1


def test_a_polynomials_power_and_last_rate_are_told():
    found = named_schedule(logged(lambda o: torchs.PolynomialLR(o, STEPS, power=3.0)))
    assert found.power == pytest.approx(3.0, rel=0.05) and found.end < 1e-4


def test_rates_that_follow_no_curve_have_no_name():
    steps = np.arange(1, 101)
    ragged = np.where(steps < 40, 1 - 0.001 * steps, 0.3 - 0.001 * steps)  # creeps, falls to a third, creeps on
    assert named_schedule(Series(steps, ragged, np.zeros(100))) is None
    assert named_schedule(Series(steps[:5], np.ones(5), np.zeros(5))) is None
    assert named_schedule(None) is None


def test_advice_to_let_the_rate_decay_says_what_it_did_so_far():
    run = Run("r", scalars={"lr/group0": logged(lambda o: torchs.ConstantLR(o, 1.0))})
    assert decay_lr(run, {}).before == "constant"


@pytest.mark.parametrize(("epochs", "steps"), [(90, 390), (30, 100), (10, 100)])
def test_a_cosine_that_goes_on_once_an_epoch_is_a_cosine(epochs, steps):
    rate = np.repeat(0.05 * (1 + np.cos(np.pi * np.arange(epochs) / epochs)), steps)
    found = named_schedule(Series(np.arange(1, len(rate) + 1), rate, np.zeros(len(rate))))
    assert found is not None and found.name == "cosine"
