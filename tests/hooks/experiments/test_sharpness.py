"""Sharpness: sharpness-aware minimisation ends in a flatter minimum, and its two passes are one step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import diagnose
from diagnose.hooks.experiments.sharpness import Sharpness, sharpness_check, sharpness_of


class SAM(torch.optim.Optimizer):
    """Foret et al. 2021: the gradient at the highest point within ρ takes the step at the weights."""

    def __init__(self, params, base, rho=0.05, **settings):
        super().__init__(params, {"rho": rho, **settings})
        self.base_optimizer = base(self.param_groups, **settings)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def first_step(self, zero_grad=False):
        norm = torch.stack([p.grad.norm() for group in self.param_groups for p in group["params"]]).norm()
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["old"] = p.data.clone()
                p.add_(p.grad, alpha=float(group["rho"] / (norm + 1e-12)))
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def second_step(self, zero_grad=False):
        for group in self.param_groups:
            for p in group["params"]:
                p.data = self.state[p]["old"]
        self.base_optimizer.step()
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def step(self, closure=None):
        assert closure is not None, "SAM wants a closure that goes forward and backward"
        self.first_step(zero_grad=True)
        with torch.enable_grad():
            closure()
        self.second_step()


def trained(digits, rho, run_dir=None, steps=250):
    """A classifier of digits after `steps` of SGD, sharpness-aware where rho is above 0; and its criterion."""
    torch.manual_seed(0)
    x, y = digits[:600]
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    criterion = nn.CrossEntropyLoss()
    settings = {"lr": 0.1, "momentum": 0.9}
    optimizer = (
        SAM(model.parameters(), torch.optim.SGD, rho, **settings)
        if rho
        else torch.optim.SGD(model.parameters(), **settings)
    )
    cadence = diagnose.Cadence(curvature=5)
    monitor = run_dir and diagnose.attach(model, optimizer, criterion=criterion, run_dir=run_dir, cadence=cadence)
    for _ in range(steps):
        rows = torch.randperm(600)[:64]

        def closure(rows=rows):
            optimizer.zero_grad()
            loss = criterion(model(x[rows]), y[rows])
            loss.backward()
            return loss

        closure()
        optimizer.step(closure if rho else None)
    if monitor:
        monitor.close()
    return model, criterion


def test_a_comparison_of_runs_says_which_ended_flatter(digits, tmp_path):
    for name, rho in (("plain", 0.0), ("aware", 0.2)):
        trained(digits, rho, tmp_path / name)
    compared = diagnose.compare(tmp_path / "plain", tmp_path / "aware")
    (sharpness,) = [outcome for outcome in compared.outcomes if "sharpness" in outcome.name]
    assert sharpness.better == "b" and sharpness.b < sharpness.a / 1.5
    assert "sharpness (λ_max) at the end" in compared.to_markdown()
    assert diagnose.compare(tmp_path / "plain", tmp_path / "plain").worse is None


def test_sharpness_aware_minimisation_ends_flatter_and_the_check_says_so(digits):
    batch = digits[:600]
    plain, aware = (sharpness_of(*trained(digits, rho), batch) for rho in (0.0, 0.2))
    assert aware.eigenvalue < plain.eigenvalue / 1.5
    assert sharpness_check(plain, aware).startswith("Flatter: λ_max is")
    assert sharpness_check(aware, plain).startswith("Sharper")
    assert sharpness_check(plain, plain).startswith("Neither")


@pytest.mark.parametrize(
    ("after", "verdict"), [(0.0, "Flatter"), (-3.0, "Flatter"), (1.9, "Neither"), (float("nan"), "Not to be told")]
)
def test_what_curves_downwards_is_no_sharper(after, verdict):
    assert sharpness_check(Sharpness(2.0, 2.0, 0.5, 10.0), Sharpness(after, 2.0, 0.5, 10.0)).startswith(verdict)


def test_a_larger_eigenvalue_of_shorter_weights_is_no_sharper_minimum():
    longer, shorter = Sharpness(1.0, 10.0, 0.5, 10.0), Sharpness(100.0, 1000.0, 0.5, 1.0)
    assert sharpness_check(longer, shorter).startswith("Neither")


@pytest.mark.parametrize("style", ["closure", "two calls"])
def test_a_monitor_counts_one_step_for_both_passes_of_a_sharpness_aware_one(digits, tmp_path, style):
    torch.manual_seed(0)
    x, y = digits[:64]
    model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    criterion = nn.CrossEntropyLoss()
    optimizer = SAM(model.parameters(), torch.optim.SGD, lr=0.1)
    with diagnose.attach(model, optimizer, criterion=criterion, run_dir=tmp_path, cadence=diagnose.Cadence(noise=2)):
        for _ in range(12):

            def closure():
                loss = criterion(model(x), y)
                loss.backward()
                return loss

            optimizer.zero_grad()
            closure()
            if style == "closure":
                optimizer.step(closure)
            else:
                optimizer.first_step(zero_grad=True)
                closure()
                optimizer.second_step()
    run = diagnose.load(tmp_path)
    assert run.scalars["loss/train"].steps.tolist() == list(range(1, 13))
    assert run.scalars["grad_norm"].steps.tolist() == list(range(1, 13))
    assert np.all(np.diff(run.scalars["loss/train"].values) < 0)


def test_the_range_test_goes_both_ways_with_a_sharpness_aware_optimizer(digits, everything):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    optimizer = SAM(model.parameters(), torch.optim.SGD, lr=0.1, momentum=0.9)
    loader = torch.utils.data.DataLoader(digits, batch_size=64)
    before = everything(model, optimizer, loader)
    found = diagnose.lr_range_test(model, optimizer, nn.CrossEntropyLoss(), loader, lowest=1e-3, highest=1.0, steps=40)
    assert everything(model, optimizer, loader) == before and not optimizer.base_optimizer.state
    assert found.suggestion and found.smoothed.min() < 0.8 * found.losses[0]
