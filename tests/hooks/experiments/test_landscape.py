"""Slices through the loss: what they measure, on losses that are known, and that nothing is left of them."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian

import diagnose
from diagnose.hooks.experiments.landscape import PreviousWeights
from diagnose.hooks.experiments.sharpness import Sharpness, sharpness_check, sharpness_of


@pytest.fixture
def small(digits):
    """A little classifier of digits, trained for a while, and a batch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 10))
    batch = digits[:200]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()
    return model, nn.CrossEntropyLoss(), batch


def test_everything_is_bit_for_bit_as_before(workshop, everything):
    before = everything(workshop.model, workshop.optimizer, workshop.loader)
    diagnose.loss_landscape(workshop.model, workshop.criterion, workshop.loader, dimensions=2, points=3)
    with pytest.raises(KeyboardInterrupt):
        diagnose.loss_landscape(workshop.model, None, workshop.loader, step=broken_off)
    assert everything(workshop.model, workshop.optimizer, workshop.loader) == before


def broken_off(model, batch):
    model.train()
    model(batch[0])
    raise KeyboardInterrupt


def test_curvature_and_sharpness_are_those_of_the_exact_hessian(small):
    model, criterion, (x, y) = small
    weights = {name: p.detach().double() for name, p in model.named_parameters()}
    sizes = [weight.numel() for weight in weights.values()]

    def of_flat(flat):
        parts = {n: p.view(w.shape) for (n, w), p in zip(weights.items(), flat.split(sizes), strict=True)}
        return criterion(functional_call(model, parts, x.double()), y)

    exact = hessian(of_flat)(torch.cat([w.flatten() for w in weights.values()]))
    found = diagnose.loss_landscape(model, criterion, (x, y), distance=0.02, points=5)
    largest = float(torch.linalg.eigvalsh(exact)[-1])
    assert 0.9 * largest < found.sharpness.eigenvalue < 1.01 * largest
    h = found.along[3]
    differences = (found.losses[3] - 2 * found.losses[2] + found.losses[1]) / h**2
    assert found.curvature == pytest.approx(differences, rel=0.05)
    assert found.losses[2] == pytest.approx(found.loss) and found.hidden > 1


def test_a_direction_has_the_length_of_each_filter_and_leaves_biases_and_norms_alone():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 9, 5))
    seen = []

    def step(model, batch):
        seen.append({name: p.detach().clone() for name, p in model.named_parameters()})
        return model(batch[0]).square().mean()

    diagnose.loss_landscape(model, None, (torch.randn(8, 3, 5, 5), torch.zeros(8)), step=step, points=3)
    for name, weight in model.named_parameters():
        moved = seen[-1][name] - weight.detach()
        if weight.dim() == 1:
            assert not moved.any()
        else:
            own, there = (t.flatten(1).norm(dim=1) for t in (weight.detach(), moved))
            assert torch.allclose(own, there, rtol=1e-4)


def test_rescaling_that_changes_nothing_does_not_change_the_slice(small):
    model, criterion, batch = small
    scaled = copy.deepcopy(model)
    with torch.no_grad():
        scaled[0].weight.mul_(10), scaled[0].bias.mul_(10), scaled[2].weight.div_(10)
    plain, other = (diagnose.loss_landscape(m, criterion, batch, points=9) for m in (model, scaled))
    assert other.losses == pytest.approx(plain.losses, rel=1e-3)
    assert other.curvature == pytest.approx(plain.curvature, rel=1e-2)


def test_the_line_of_the_last_update_runs_through_the_weights_before_it(small):
    model, criterion, (x, y) = small
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    kept = PreviousWeights(model, optimizer)
    with torch.no_grad():
        before = criterion(model(x), y).item()
    criterion(model(x), y).backward()
    optimizer.step()
    kept.close()
    found = diagnose.loss_landscape(model, criterion, (x, y), previous=kept.weights, points=3)
    assert found.direction == "last update"
    assert found.losses[0] == pytest.approx(before, rel=1e-5) and found.losses[1] == pytest.approx(found.loss)
    optimizer.step()
    assert diagnose.loss_landscape(model, criterion, (x, y), previous=kept.weights, points=3).along.tolist() == [
        -1,
        0,
        1,
    ]
    with pytest.raises(diagnose.InvalidArgumentError, match="own weights"):
        diagnose.loss_landscape(model, criterion, (x, y), previous=model.state_dict())
    with pytest.raises(diagnose.InvalidArgumentError, match=r"fits 0\.weight"):
        diagnose.loss_landscape(model, criterion, (x, y), previous={})


def test_a_plane_has_the_line_in_its_middle_and_both_are_drawn(small):
    model, criterion, batch = small
    plane = diagnose.loss_landscape(model, criterion, batch, dimensions=2, points=5)
    line = diagnose.loss_landscape(model, criterion, batch, points=5)
    assert plane.losses.shape == (5, 5)
    assert plane.losses[2] == pytest.approx(line.losses)
    assert plane.plot().data[0].type == "contour" and line.plot().data[1].name == "loss"
    assert json.loads(json.dumps(plane.to_dict()))["losses"][2][2] == pytest.approx(plane.loss)
    assert "times as much" in line._repr_html_()


# --- sharpness-aware minimisation


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


def trained(digits, rho, steps=250):
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
    for _ in range(steps):
        rows = torch.randperm(600)[:64]

        def closure(rows=rows):
            optimizer.zero_grad()
            loss = criterion(model(x[rows]), y[rows])
            loss.backward()
            return loss

        closure()
        optimizer.step(closure if rho else None)
    return model, criterion


def test_sharpness_aware_minimisation_ends_flatter_and_the_check_says_so(digits):
    batch = digits[:600]
    plain, aware = (sharpness_of(*trained(digits, rho), batch) for rho in (0.0, 0.2))
    assert aware.eigenvalue < plain.eigenvalue / 1.5
    assert sharpness_check(plain, aware).startswith("Flatter: λ_max is")
    assert sharpness_check(aware, plain).startswith("Sharper")
    assert sharpness_check(plain, plain).startswith("Neither")


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
