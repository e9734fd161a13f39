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


def test_it_is_the_loss_in_evaluation_mode_of_all_samples_alike(workshop, digits):
    batches = [digits[:10], digits[10:100]]
    found = diagnose.loss_landscape(workshop.model, workshop.criterion, batches, points=3)
    workshop.model.eval()
    with torch.no_grad():
        whole = workshop.criterion(workshop.model(digits[:100][0]), digits[:100][1]).item()
    assert found.loss == pytest.approx(whole, rel=1e-5)


def test_a_plane_with_a_hole_in_it_is_drawn_as_its_logarithm(small):
    model, _, batch = small
    plane = diagnose.loss_landscape(model, None, batch, dimensions=2, points=3, step=only_at_the_weights(model))
    assert not np.isfinite(plane.losses).all() and json.dumps(plane.to_dict())
    figure = plane.plot()
    assert figure.data[0].colorbar.title.text == "log₁₀ loss" and np.isfinite(figure.data[0].z[1, 1])


def only_at_the_weights(model):
    weight = model[0].weight.detach().clone()

    def step(model, batch):
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        return loss if torch.equal(model[0].weight, weight) else loss * float("inf")

    return step


def test_what_a_model_draws_by_itself_is_drawn_alike_at_each_point(small):
    model, criterion, batch = small
    noisy = diagnose.loss_landscape(
        model, None, batch, points=5, distance=1e-3,
        step=lambda model, batch: criterion(model(batch[0] + torch.randn_like(batch[0])), batch[1]),
    )  # fmt: skip
    assert noisy.losses[2] == noisy.loss
    assert np.ptp(noisy.losses) < 0.01 * noisy.loss, "neighbours see the same noise"


def test_a_layer_norm_of_several_dimensions_stays_where_it_is():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3)), nn.LayerNorm([2, 3]), nn.Flatten())
    seen = []

    def step(model, batch):
        seen.append(model[2].weight.detach().clone())
        return model(batch[0]).pow(4).mean()

    diagnose.loss_landscape(model, None, (torch.randn(8, 4), torch.zeros(8)), step=step, points=3)
    assert all(torch.equal(weight, model[2].weight) for weight in seen)


def test_sparse_gradients_have_a_curvature_too():
    torch.manual_seed(0)
    sparse, dense = (nn.Sequential(nn.Embedding(9, 4, sparse=kind), nn.Linear(4, 3)) for kind in (True, False))
    sparse.load_state_dict(dense.state_dict())
    batch = torch.randint(9, (64,)), torch.randint(3, (64,))
    found, wanted = (diagnose.loss_landscape(m, nn.CrossEntropyLoss(), batch, points=3) for m in (sparse, dense))
    assert found.curvature == pytest.approx(wanted.curvature, rel=0.02)
    assert found.sharpness.eigenvalue == pytest.approx(wanted.sharpness.eigenvalue, rel=0.02)


class Once(torch.autograd.Function):
    """Squares, and cannot be differentiated twice."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, gradient):
        return 2 * context.saved_tensors[0] * gradient


def test_what_can_be_differentiated_once_only_has_the_same_curvature_and_not_none(digits):
    torch.manual_seed(0)
    model = nn.Linear(64, 10)
    losses = [
        lambda model, batch: Once.apply(model(batch[0])).square().mean(),
        lambda model, batch: model(batch[0]).pow(4).mean(),
    ]
    once, twice = (diagnose.loss_landscape(model, None, digits[:50], step=loss, points=3) for loss in losses)
    assert once.curvature == pytest.approx(twice.curvature, rel=0.02)
    assert once.sharpness.eigenvalue == pytest.approx(twice.sharpness.eigenvalue, rel=0.02)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (nn.Linear(64, 10, dtype=torch.complex64), "some here are complex"),
        (nn.BatchNorm1d(64), "has filters"),
        (nn.ReLU(), "nothing to look at"),
        (nn.Linear(64, 10).requires_grad_(False), "nothing to look at"),
        (nn.Linear(64, 10).bfloat16(), "differences of gradients in half precision"),
    ],
    ids=["complex", "no filters", "no weights", "frozen", "half"],
)
def test_what_has_no_slice_is_refused_with_the_reason(digits, everything, model, reason):
    kind = next((p.dtype for p in model.parameters()), torch.float32)
    step = lambda model, batch: Once.apply(model(batch[0].to(kind))).abs().square().mean()  # noqa: E731
    before = everything(model) if kind != torch.bfloat16 else None  # NumPy has no such numbers
    with pytest.raises(diagnose.InvalidArgumentError, match=reason):
        diagnose.loss_landscape(model, None, digits[:20], step=step)
    assert before is None or everything(model) == before


@pytest.mark.parametrize("wrong", [{"points": 4}, {"points": 1}, {"distance": float("inf")}, {"dimensions": 3}])
def test_a_slice_that_cannot_be_cut_is_refused(small, wrong):
    with pytest.raises(diagnose.InvalidArgumentError, match="odd number"):
        diagnose.loss_landscape(*small, **wrong)


def test_a_loss_that_is_no_number_has_no_landscape(small):
    model, _, batch = small
    with pytest.raises(diagnose.InvalidArgumentError, match="loss at the weights is nan"):
        diagnose.loss_landscape(model, None, batch, step=lambda model, batch: model(batch[0]).sum() * float("nan"))
