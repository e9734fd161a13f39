"""The gradient noise scale on a quadratic whose gradient and noise are known."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

import diagnose


class Quadratic(nn.Module):
    """Loss w · mean(x): its gradient is the mean of the batch, with whatever noise the batch has."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        return x.mean(dim=0) @ self.w


MEAN = torch.linspace(-1, 1, 300)
SIGMA = 2.0
NOISE_SCALE = 300 * SIGMA**2 / float(MEAN.square().sum())


@pytest.fixture
def draw():
    """Draws batches whose mean gradient is MEAN and whose noise scale is NOISE_SCALE."""
    generator = torch.Generator().manual_seed(0)
    return lambda batch, sigma=SIGMA: MEAN + sigma * torch.randn(batch, 300, generator=generator)


@pytest.fixture
def watched(tmp_path):
    """Trains a quadratic by `step(model, optimizer, number)`; returns its noise scales and where they are from."""

    def run(step, *, steps=300, period=2):
        model = Quadratic(300)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=diagnose.Cadence(noise=period)):
            for number in range(1, steps + 1):
                optimizer.zero_grad()
                step(model, optimizer, number)
                optimizer.step()
                if number == steps // 2:
                    time.sleep(0.3)  # the log's side, on a thread of its own, catches up
        log = diagnose.load(tmp_path)
        return log.scalars["noise_scale"], log.setup.environment["noise_scale_from"]

    return run


@pytest.mark.parametrize("batch", [4, 32])
@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_it_is_the_variance_over_the_squared_mean_whatever_the_batch(batch, sigma, tmp_path):
    generator = torch.Generator().manual_seed(0)
    mean = torch.linspace(-1, 1, 300)
    model = Quadratic(300)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=diagnose.Cadence(noise=2)):
        for _ in range(400):
            optimizer.zero_grad()
            model(mean + sigma * torch.randn(batch, 300, generator=generator)).backward()
            optimizer.step()
    expected = 300 * sigma**2 / float(mean.square().sum())
    series = diagnose.load(tmp_path).scalars["noise_scale"]
    assert np.median(series.values[-50:]) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("mean_of_parts", [True, False])
def test_micro_batches_give_it_at_every_look_whatever_the_rate(mean_of_parts, tmp_path):
    generator = torch.Generator().manual_seed(0)
    mean, parts = torch.linspace(-1, 1, 300), 4
    model = Quadratic(300)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=diagnose.Cadence(noise=3)):
        for _ in range(120):
            optimizer.zero_grad()
            for _ in range(parts):
                loss = model(mean + 2 * torch.randn(8, 300, generator=generator))
                (loss / parts if mean_of_parts else loss).backward()
            optimizer.step()
    run = diagnose.load(tmp_path)
    series = run.scalars["noise_scale"]
    assert series.steps.tolist() == list(range(1, 121, 3))
    assert run.setup.environment["noise_scale_from"] == "micro-batches"
    expected = 300 * 4 / float(mean.square().sum())
    assert np.median(series.values[-20:]) == pytest.approx(expected, rel=0.15)


def test_a_model_that_runs_twice_before_one_backward_pass_has_no_micro_batches(tmp_path):
    model = Quadratic(10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=diagnose.Cadence(noise=2)):
        for _ in range(6):
            first, second = model(1 + torch.randn(4, 10)), model(1 + torch.randn(4, 10))
            optimizer.zero_grad()
            (first + second).backward()
            optimizer.step()
    run = diagnose.load(tmp_path)
    assert run.setup.environment["noise_scale_from"] == "consecutive steps"
    assert run.scalars["noise_scale"].steps.tolist() == [2, 4, 6]


def test_clipped_gradients_are_not_compared_with_unclipped_parts(tmp_path):
    model = Quadratic(10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=diagnose.Cadence(noise=2)):
        for _ in range(6):
            optimizer.zero_grad()
            for _ in range(2):
                model(1 + torch.randn(4, 10)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
    assert diagnose.load(tmp_path).setup.environment["noise_scale_from"] == "consecutive steps"


def test_frozen_parameters_do_not_keep_it_from_being_told(training, tmp_path):
    training.model[0].requires_grad_(False)
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path):
        training.run(2)
    assert diagnose.load(tmp_path).scalars["noise_scale"].steps.tolist() == [2]


def test_views_of_one_batch_that_share_a_backward_pass_are_one_batch(watched, draw):
    def step(model, _optimizer, _number):
        batch = draw(16)
        ((model(batch) + model(batch)) / 2).backward()

    series, source = watched(step)
    assert source == "consecutive steps"
    assert np.median(series.values[-50:]) == pytest.approx(NOISE_SCALE, rel=0.15)


def test_each_backward_pass_makes_a_micro_batch_however_often_the_model_ran_for_it(watched, draw):
    def step(model, _optimizer, _number):
        for _ in range(3):
            batch = draw(8)
            ((model(batch) + model(batch)) / 2).backward()

    series, source = watched(step)
    assert source == "micro-batches"
    assert series.steps.tolist() == list(range(1, 301, 2))
    assert np.median(series.values[-50:]) == pytest.approx(NOISE_SCALE, rel=0.15)


def test_a_forward_pass_that_failed_and_was_tried_again_counts_once(watched, draw):
    def run_out(*_):
        raise MemoryError

    def step(model, _optimizer, _number):
        batch, full = draw(16), model.register_forward_pre_hook(run_out)
        with pytest.raises(MemoryError):
            model(batch)
        full.remove()
        model(batch).backward()

    series, source = watched(step)
    assert source == "consecutive steps"
    assert np.median(series.values[-50:]) == pytest.approx(NOISE_SCALE, rel=0.15)


def test_a_forward_pass_that_nothing_goes_back_from_is_no_micro_batch(watched, draw):
    def step(model, _optimizer, _number):
        model(draw(16)).backward()
        model(draw(100))

    series, source = watched(step)
    assert source == "consecutive steps"
    assert np.median(series.values[-50:]) == pytest.approx(NOISE_SCALE, rel=0.15)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_that_were_cleared_before_the_others_came_are_no_micro_batch(set_to_none, watched, draw):
    def step(model, optimizer, _number):  # as sharpness-aware minimization does
        batch = draw(16)
        model(batch).backward()
        optimizer.zero_grad(set_to_none=set_to_none)
        model(batch).backward()

    series, source = watched(step, steps=400)
    assert source == "consecutive steps"
    assert np.median(series.values[-50:]) == pytest.approx(NOISE_SCALE, rel=0.15)


def test_a_micro_batch_without_gradient_now_and_then_is_left_out(watched, draw):
    def step(model, _optimizer, number):  # all of it masked, say
        for part in range(2):
            (model(draw(8)) * (part > 0 or number % 3 > 0)).backward()

    series, source = watched(step)
    assert source == "micro-batches"
    assert np.median(series.values[-50:]) == pytest.approx(NOISE_SCALE, rel=0.15)


def test_losses_that_pull_apart_are_no_micro_batches(watched, draw):
    def step(model, _optimizer, _number):  # a critic's real and false samples
        model(draw(16)).backward()
        (-0.5 * model(draw(16))).backward()

    series, source = watched(step, steps=800)
    assert source == "consecutive steps"
    # Of samples in pairs, one of each kind: their noise adds up, their gradients do not.
    assert np.median(series.values[-50:]) == pytest.approx(NOISE_SCALE * 1.25 / 0.25, rel=0.15)


def test_micro_batches_without_any_signal_remain_micro_batches(watched, draw):
    def step(model, _optimizer, _number):
        for _ in range(2):
            model(draw(8) - MEAN).backward()

    _, source = watched(step, steps=600)
    assert source == "micro-batches"


def test_two_steps_with_unequal_batches_are_weighed_by_both(watched, draw):
    def step(model, _optimizer, number):
        model(draw(32 if number % 2 else 4)).backward()

    series, _ = watched(step, steps=600)
    assert np.median(series.values[-50:]) == pytest.approx(NOISE_SCALE, rel=0.15)


class TwoQuadratics(nn.Module):
    """Two layers of which each can be frozen; the second has four times the noise scale."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Quadratic(300), Quadratic(300)

    def forward(self, x, y):
        return self.one(x) + self.two(y)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_layer_frozen_or_released_in_mid_run_leaves_the_noise_scale_of_the_others(parts, draw, tmp_path):
    model = TwoQuadratics()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=diagnose.Cadence(noise=2)):
        for step in range(600):
            model.one.requires_grad_(not 200 <= step < 400)
            optimizer.zero_grad()
            for _ in range(parts):
                model(draw(8), draw(8, 2 * SIGMA)).backward()
            optimizer.step()
    series = diagnose.load(tmp_path).scalars["noise_scale"]
    levels = [np.median(series.values[(series.steps > end - 120) & (series.steps <= end)]) for end in (200, 400, 600)]
    assert levels == pytest.approx([2.5 * NOISE_SCALE, 4 * NOISE_SCALE, 2.5 * NOISE_SCALE], rel=0.2)


def train_on_two_ranks(rank, port, run_dir, way):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    generator = torch.Generator().manual_seed(rank)
    inner = Quadratic(300)
    model = nn.parallel.DistributedDataParallel(inner)
    if way == "compiled":
        model = torch.compile(model, backend="eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    watched = inner if way == "inner" else model
    with diagnose.attach(watched, optimizer, run_dir=run_dir, cadence=diagnose.Cadence(noise=2)):
        for _ in range(240):
            optimizer.zero_grad()
            for _ in range(2 if way == "accumulated" else 1):
                model(MEAN + SIGMA * torch.randn(8, 300, generator=generator)).backward()
            if way == "clipped":
                nn.utils.clip_grad_norm_(model.parameters(), 1e6)
            optimizer.step()
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("way", "source"),
    [
        pytest.param("plain", "ranks", marks=pytest.mark.slow),
        pytest.param("clipped", "consecutive steps", marks=pytest.mark.slow),
        pytest.param("accumulated", "consecutive steps", marks=pytest.mark.slow),
        pytest.param("compiled", "consecutive steps", marks=pytest.mark.slow),
    ],
)
def test_ranks_give_it_before_averaging_or_count_where_two_steps_do(way, source, tmp_path, on_ranks):
    on_ranks(2, train_on_two_ranks, str(tmp_path), way)
    run = diagnose.load(tmp_path)
    assert run.setup.environment["noise_scale_from"] == source
    assert np.median(run.scalars["noise_scale"].values[-40:]) == pytest.approx(NOISE_SCALE, rel=0.15)


@pytest.mark.slow  # two processes more
def test_a_module_inside_the_wrapper_does_not_tell_which_ranks_its_gradient_is_from(tmp_path, on_ranks):
    on_ranks(2, train_on_two_ranks, str(tmp_path), "inner")
    assert "noise_scale" not in diagnose.load(tmp_path).scalars
