"""The learning-rate range test: which rate it suggests, and what becomes of the suggestion."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch_lr_finder import LRFinder

import diagnose

RARELY = diagnose.Cadence(curvature=0)


@pytest.mark.parametrize("kind", ["plain", "momentum"])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_agrees_with_torch_lr_finder(kind, seed, plain):
    """Within a factor of 1.5: three of the curve's points, each 1.15 times the last.

    Both see the same batches at the same rates. Their averages differ: ours is corrected for its beginning and half
    as long. The range ends before the loss diverges: of a curve that falls back from there, theirs takes the falling
    back for the steepest descent, and ours looks before the lowest loss alone.
    """
    highest = {"plain": 5.0, "momentum": 1.0}[kind]
    model, optimizer, criterion, loader = plain(seed, kind)
    ours = diagnose.lr_range_test(model, optimizer, criterion, loader, lowest=1e-5, highest=highest, steps=100)
    finder = LRFinder(model, optimizer, criterion)
    finder.range_test(loader, end_lr=highest, num_iter=100)
    rates, losses = finder.history["lr"][10:-5], finder.history["loss"][10:-5]
    theirs = rates[int(np.gradient(np.array(losses)).argmin())]
    assert theirs / 1.5 < ours.steepest < theirs * 1.5


@pytest.mark.parametrize("kind", ["plain", "momentum", "adam"])
def test_the_suggested_rate_trains_better_than_one_far_below_and_one_far_above(kind, plain):
    model, optimizer, criterion, loader = plain(0, kind)
    found = diagnose.lr_range_test(model, optimizer, criterion, loader, lowest=1e-6)
    ends = {}
    for factor in (0.01, 1.0, 30.0):
        model, optimizer, criterion, loader = plain(0, kind)
        optimizer.param_groups[0]["lr"] = factor * found.careful
        losses = []
        for x, y in itertools.islice(itertools.cycle(loader), 150):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        ends[factor] = float(np.mean(losses[-20:]))
    assert ends[1.0] < 0.6 * ends[0.01]
    assert not ends[1.0] > 0.6 * ends[30.0]


def test_the_second_pass_looks_closer_around_the_first(plain):
    model, optimizer, criterion, loader = plain()
    found = diagnose.lr_range_test(model, optimizer, criterion, loader, lowest=1e-6, steps=60, zoom=True)
    closer = found.closer
    assert closer.rates[0] == pytest.approx(found.steepest / 10) and closer.rates[-1] <= 10 * found.steepest * 1.001
    assert found.careful == closer.lowest / 10
    assert found.suggestion == closer.steepest and found.steepest / 10 < found.suggestion < 10 * found.steepest


@pytest.mark.parametrize("seed", range(3))
def test_where_the_loss_never_falls_nothing_is_suggested(seed):
    torch.manual_seed(seed)
    noise = [(torch.randn(32, 64), torch.randint(0, 10, (32,))) for _ in range(100)]
    model = nn.Linear(64, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = diagnose.lr_range_test(model, optimizer, nn.CrossEntropyLoss(), noise, highest=1e-4)
    assert found.suggestion is None and "no rate is suggested" in found.summary


def test_a_loss_that_is_no_number_ends_it_with_the_rate_at_which_it_was(plain):
    model, optimizer, criterion, loader = plain(kind="plain")
    calls = itertools.count()

    def step(model, batch):
        loss = criterion(model(batch[0]), batch[1])
        return loss * float("nan") if next(calls) == 20 else loss

    found = diagnose.lr_range_test(model, optimizer, None, loader, step=step, lowest=1e-4, highest=1.0, steps=41)
    assert len(found.losses) == 20 and "no longer a number at a rate of 0.01" in found.stopped


@pytest.mark.parametrize(
    "wrong", [{"lowest": 0.0}, {"lowest": 2.0, "highest": 1.0}, {"steps": 3}, {"accumulation_steps": 0}]
)
def test_what_cannot_be_tried_is_refused(wrong, quick):
    with pytest.raises(diagnose.InvalidArgumentError):
        quick(**wrong)


def test_advice_on_the_rate_goes_to_what_the_test_measured(tmp_path, plain):
    model, optimizer, criterion, loader = plain()
    found = diagnose.lr_range_test(model, optimizer, criterion, loader, lowest=1e-5, highest=1.0)
    optimizer.param_groups[0]["lr"] = 30.0
    config = {"batch_size": 32, "lr_range_test": found.suggestion}
    with diagnose.attach(model, optimizer, criterion=criterion, run_dir=tmp_path, config=config, cadence=RARELY):
        for x, y in itertools.islice(itertools.cycle(loader), 200):
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    (change,) = [c for c in diagnose.examine(tmp_path).prescription.changes if c.setting == "lr"]
    assert change.after == pytest.approx(found.suggestion, rel=0.01) and "range test" in change.because
