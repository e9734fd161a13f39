"""Each step of a range test is one of the training's: accumulation, mixed precision, groups, clipping, closures."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import diagnose


def test_accumulated_micro_batches_are_one_larger_batch(digits, plain):
    model, optimizer, criterion, _ = plain()
    whole = diagnose.lr_range_test(model, optimizer, criterion, DataLoader(digits, 64), steps=25)
    halves = diagnose.lr_range_test(model, optimizer, criterion, DataLoader(digits, 32), steps=25, accumulation_steps=2)
    assert halves.losses == pytest.approx(whole.losses, rel=1e-3)


def test_mixed_precision_runs_as_in_training_and_the_scaler_keeps_its_scale(workshop, everything, quick):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=3)
    seen = []
    workshop.model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    before = everything(workshop.model, workshop.optimizer, workshop.loader, scaler)
    exact = quick()
    assert set(seen) == {torch.float32}
    seen.clear()
    mixed = quick(autocast=torch.bfloat16, scaler=scaler)
    assert set(seen) == {torch.bfloat16}
    assert mixed.losses[:10] == pytest.approx(exact.losses[:10], rel=0.02)
    assert everything(workshop.model, workshop.optimizer, workshop.loader, scaler) == before


def test_gradients_are_clipped_as_they_are_and_not_as_they_were_scaled(quick):
    told = {"lowest": 0.1, "highest": 10.0, "max_norm": 0.05}
    scaled = quick(scaler=torch.amp.GradScaler("cpu", init_scale=2.0**12), **told)
    assert scaled.losses.tolist() == quick(**told).losses.tolist()


def test_groups_keep_their_share_of_the_rate(plain):
    model, _, _, loader = plain()
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2:].parameters(), "lr": 0.001}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    moved = []

    def step(model, batch):
        moved.append([model[0].weight.detach().clone(), model[2].bias.detach().clone()])
        return model[0].weight.sum() + model[2].bias.sum()

    found = diagnose.lr_range_test(model, optimizer, None, loader, steps=13, step=step)
    for rate, before, after in zip(found.rates, moved, moved[1:], strict=False):
        for share, old, new in zip((1.0, 0.01), before, after, strict=True):
            assert (old - new).numpy() == pytest.approx(share * rate, rel=1e-2, abs=1e-6)


def test_clipping_is_that_of_the_training(plain):
    model, optimizer, criterion, loader = plain(kind="plain")
    told = {"lowest": 1e-3, "highest": 100.0, "steps": 60}
    free = diagnose.lr_range_test(model, optimizer, criterion, loader, **told)
    clipped = diagnose.lr_range_test(model, optimizer, criterion, loader, max_norm=0.05, **told)
    assert clipped.lowest > 2 * free.lowest, "a clipped step bears a higher rate"


def test_an_optimizer_that_wants_a_closure_gets_one(plain):
    model, _, criterion, loader = plain()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=1, max_iter=2)
    found = diagnose.lr_range_test(model, optimizer, criterion, loader, lowest=1e-3, highest=1.0, steps=15)
    assert found.losses[-1] < found.losses[0] and not optimizer.state


def test_a_model_in_half_precision_is_trained_in_it(digits, everything):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = [(x.bfloat16(), y) for x, y in DataLoader(digits, 64)]
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    found = diagnose.lr_range_test(
        model, optimizer, nn.CrossEntropyLoss(), batches, lowest=1e-3, highest=30.0, steps=60
    )
    assert found.suggestion
    assert all(map(torch.equal, weights, model.parameters()))


def wrong_rate(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.param_groups[0]["lr"] = None  # Adafactor's, which finds its rate by itself
    return {"optimizer": optimizer}


def frozen(model):
    model.requires_grad_(False)
    return {"optimizer": torch.optim.SGD(model.parameters(), lr=0.1)}


def scaled_closure(model):
    return {"optimizer": torch.optim.LBFGS(model.parameters()), "scaler": torch.amp.GradScaler("cpu")}


def detached(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return {"optimizer": optimizer, "step": lambda model, batch: model(batch[0]).detach().mean()}


def never_a_number(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return {"optimizer": optimizer, "step": lambda model, batch: model(batch[0]).mean() * float("nan")}


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (wrong_rate, "finds its rate by itself"),
        (frozen, "all are frozen"),
        (scaled_closure, "a gradient scaler cannot do"),
        (detached, "does not depend on any weight"),
        (never_a_number, "no longer a number at a rate of 1e-07"),
        (lambda model: {"optimizer": model.parameters()}, r"expected a torch\.optim\.Optimizer"),
    ],
)
def test_what_has_no_rate_to_test_is_refused_with_the_reason(made, reason, plain, everything):
    model, _, criterion, loader = plain()
    told = {"criterion": criterion, "loader": loader, **made(model)}
    before = everything(model, loader=loader)
    with pytest.raises(diagnose.InvalidArgumentError, match=reason):
        diagnose.lr_range_test(model, **told)
    assert everything(model, loader=loader) == before
