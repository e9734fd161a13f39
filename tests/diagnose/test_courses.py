"""The course of the rate that a scheduler's name stands for, against torch's own schedulers."""

import numpy as np
import pytest
import torch

from diagnose.schedule_curves import course, in_words

LENGTH, WARMUP, PEAK = 90, 10, 0.4


def _torchs(decay):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-8, total_iters=WARMUP)
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, decay(optimizer)], milestones=[WARMUP])
    rates = []
    for _ in range(LENGTH):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("name", "decay"),
    [
        ("CosineAnnealingLR", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, LENGTH - WARMUP)),
        ("linear", lambda o: torch.optim.lr_scheduler.LinearLR(o, 1, 0, total_iters=LENGTH - WARMUP)),
        ("PolynomialLR", lambda o: torch.optim.lr_scheduler.PolynomialLR(o, LENGTH - WARMUP)),
        ("ExponentialLR", lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 1e-6 ** (1 / (LENGTH - WARMUP)))),
        ("ConstantLR", lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1)),
    ],
)
def test_it_is_the_course_of_torchs_scheduler_of_that_name(name, decay):
    steps = np.arange(LENGTH, dtype=np.float64)
    assert course(name, PEAK, steps, WARMUP, LENGTH) == pytest.approx(_torchs(decay), abs=1e-6)


def test_a_name_that_tells_no_shape_is_drawn_as_a_cosine_and_said_so():
    assert in_words("") == "a cosine to zero"
    assert in_words("inverse_sqrt") == "a cosine to zero, as inverse_sqrt tells no shape"
    assert in_words("cosine_with_restarts") == "a cosine to zero"
    assert in_words("MultiStepLR") == "a tenth after each third"
