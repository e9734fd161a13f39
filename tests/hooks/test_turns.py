"""Several optimizers: what counts as a step, and whose gradients are told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import diagnose

EVERY = diagnose.Cadence()  # “auto” looks less often where steps are as short as here


def norm_of(parameters) -> float:
    return float(torch.cat([p.grad.double().flatten() for p in parameters]).norm())


@pytest.mark.parametrize("given", [True, False])
def test_two_optimizers_that_share_a_model_take_one_step_together(training, tmp_path, given):
    matrices = [p for p in training.model.parameters() if p.dim() == 2]
    vectors = [p for p in training.model.parameters() if p.dim() == 1]
    first, second = torch.optim.SGD(matrices, lr=0.1), torch.optim.AdamW(vectors, lr=0.01)
    expected = []
    with diagnose.attach(
        training.model, first if given else None, criterion=training.criterion, run_dir=tmp_path, cadence=EVERY
    ) as monitor:
        for number in range(8):
            training.model.zero_grad()
            training.loss().backward()
            expected.append(norm_of(training.model.parameters()))
            first.step()
            second.step()
            monitor.log(number=number)
    run = diagnose.load(tmp_path)
    for name in ("loss/train", "lr/group0", "lr/group1", "number/train"):
        assert run.scalars[name].steps.tolist() == list(range(1, 9)), name
    assert run.scalars["lr/group1"].values == pytest.approx(0.01)
    assert run.scalars["grad_norm"].values == pytest.approx(expected, rel=1e-5)
    assert run.scalars["update_ratio"].steps.tolist()[0] == 1
    assert run.setup.optimizer["type"] == "SGD"
    assert run.setup.optimizer["others"] == ["AdamW"]
    assert len(run.setup.optimizer["groups"]) == 2


def gan_steps(networks, optimizers, steps, seen, *, discriminator_steps=1):
    """Alternating training in which each backward pass leaves gradients in the other network."""
    (generator, discriminator), (for_generator, for_discriminator) = networks, optimizers
    loss = nn.BCEWithLogitsLoss()
    for _ in range(steps):
        for _ in range(discriminator_steps):
            for_discriminator.zero_grad()
            fake = generator(torch.randn(8, 4))
            (
                loss(discriminator(torch.randn(8, 6)), torch.ones(8, 1)) + loss(discriminator(fake), torch.zeros(8, 1))
            ).backward()
            seen["discriminator"].append(norm_of(discriminator.parameters()))
            for_discriminator.step()
        for_generator.zero_grad()
        loss(discriminator(generator(torch.randn(8, 4))), torch.ones(8, 1)).backward()
        seen["generator"].append(norm_of(generator.parameters()))
        for_generator.step()


def gan():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6))
    discriminator = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizers = [torch.optim.Adam(m.parameters(), lr=1e-3) for m in (generator, discriminator)]
    return generator, discriminator, optimizers


@pytest.mark.parametrize("discriminator_steps", [1, 3])
def test_in_a_gan_each_monitor_tells_its_own_networks_gradients_at_its_own_steps(tmp_path, discriminator_steps):
    generator, discriminator, optimizers = gan()
    seen = {"generator": [], "discriminator": []}
    with (
        diagnose.attach(generator, optimizers[0], run_dir=tmp_path / "generator", cadence=EVERY),
        diagnose.attach(discriminator, optimizers[1], run_dir=tmp_path / "discriminator", cadence=EVERY),
    ):
        gan_steps((generator, discriminator), optimizers, 10, seen, discriminator_steps=discriminator_steps)
    for name, expected in seen.items():
        series = diagnose.load(tmp_path / name).scalars["grad_norm"]
        assert series.steps.tolist() == list(range(1, len(expected) + 1))
        assert series.values == pytest.approx(expected, rel=1e-5), name


def test_a_gan_in_one_module_has_one_step_a_round_and_each_sides_gradients_as_its_optimizer_sees_them(tmp_path):
    generator, discriminator, optimizers = gan()
    seen = {"generator": [], "discriminator": []}
    with diagnose.attach(nn.ModuleDict({"g": generator, "d": discriminator}), run_dir=tmp_path, cadence=EVERY):
        gan_steps((generator, discriminator), optimizers, 10, seen)
    run = diagnose.load(tmp_path)
    assert run.scalars["grad_norm"].steps.tolist() == list(range(1, 11))
    expected = np.hypot(seen["generator"], seen["discriminator"])
    assert run.scalars["grad_norm"].values[1:] == pytest.approx(expected[1:], rel=1e-5)


def test_an_optimizer_that_steps_more_rarely_does_not_hold_up_the_steps(tmp_path):
    generator, discriminator, optimizers = gan()
    seen = {"generator": [], "discriminator": []}
    with diagnose.attach(nn.ModuleDict({"g": generator, "d": discriminator}), run_dir=tmp_path, cadence=EVERY):
        gan_steps((generator, discriminator), optimizers, 10, seen, discriminator_steps=3)
    steps = diagnose.load(tmp_path).scalars["grad_norm"].steps
    assert 28 <= len(steps) == steps[-1] <= 31


def test_a_param_group_added_later_has_its_rate_logged(training, tmp_path):
    head = training.model[4]
    optimizer = torch.optim.SGD(training.model[:4].parameters(), lr=0.1)
    training.optimizer = optimizer
    with diagnose.attach(training.model, optimizer, run_dir=tmp_path, cadence=EVERY):
        training.run(3)
        optimizer.add_param_group({"params": head.parameters(), "lr": 0.5})
        training.run(2)
    run = diagnose.load(tmp_path)
    assert run.scalars["lr/group1"].steps.tolist() == [4, 5]
    assert run.scalars["lr/group1"].values.tolist() == [0.5, 0.5]
