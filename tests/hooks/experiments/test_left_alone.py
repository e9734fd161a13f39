"""Nothing is left of a range test: weights, optimizer, generators, modes, hooks and loader are as they were."""

from __future__ import annotations

import copy
import gc
import itertools
import random
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import diagnose

EVERY = diagnose.Cadence(gradients=1, activations=1, updates=1, noise=1, curvature=0)


def test_everything_is_bit_for_bit_as_before(workshop, everything, quick):
    before = everything(workshop.model, workshop.optimizer, workshop.loader)
    found = quick(zoom=True)
    assert len(found.losses) > 10
    assert everything(workshop.model, workshop.optimizer, workshop.loader) == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_everything_is_as_before_where_it_is_broken_off(workshop, everything, error, quick):
    before = everything(workshop.model, workshop.optimizer, workshop.loader)
    calls = itertools.count()

    def step(model, batch):
        if next(calls) == 7:
            model[4].bias.requires_grad_(True)
            raise error("broken off")
        return workshop.criterion(model(batch[0]), batch[1])

    with pytest.raises(error, match="broken off"):
        quick(step=step)
    assert next(calls) == 8
    assert everything(workshop.model, workshop.optimizer, workshop.loader) == before


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_called_where_gradients_are_off_it_measures_the_same_and_leaves_everything(workshop, everything, mode, quick):
    batch = next(iter(workshop.loader))
    before = everything(workshop.model, workshop.optimizer, workshop.loader)
    losses = quick().losses
    with mode():
        assert quick().losses.tolist() == losses.tolist()
        assert diagnose.loss_landscape(workshop.model, workshop.criterion, batch) is not None
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
        assert not torch.is_grad_enabled()
    assert everything(workshop.model, workshop.optimizer, workshop.loader) == before


def test_training_goes_on_as_if_it_had_never_been(workshop, quick):
    torch.manual_seed(3)
    state = [workshop.model.state_dict(), workshop.optimizer.state_dict()]
    kept = torch.get_rng_state(), np.random.get_state(), workshop.generator.get_state()  # noqa: NPY002
    state, python = copy.deepcopy(state), random.getstate()
    without = workshop.train(10)
    workshop.model.load_state_dict(state[0])
    workshop.optimizer.load_state_dict(state[1])
    torch.set_rng_state(kept[0])
    np.random.set_state(kept[1])  # noqa: NPY002
    workshop.generator.set_state(kept[2])
    random.setstate(python)
    quick()
    assert workshop.train(10) == without


def test_an_attached_monitor_sees_nothing_of_it(tmp_path, plain):
    curves = []
    for name in ("with", "without"):
        model, optimizer, criterion, loader = plain()
        with diagnose.attach(model, optimizer, criterion=criterion, run_dir=tmp_path / name, cadence=EVERY):
            for number, (x, y) in enumerate(itertools.islice(loader, 6)):
                if name == "with" and number in {0, 3}:
                    diagnose.lr_range_test(model, optimizer, criterion, loader, steps=15, max_norm=1.0)
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                optimizer.step()
        run = diagnose.load(tmp_path / name)
        curves.append({s: (v.steps.tolist(), v.values.tolist()) for s, v in run.scalars.items() if "thr" not in s})
    with_, without = ({k: v for k, v in one.items() if not k.startswith("diagnose/cadence")} for one in curves)
    assert with_ == without and with_["loss/train"][0] == list(range(1, 7))


def test_a_scheduler_does_not_count_its_steps_nor_lead_them_to_the_original(workshop, everything, quick):
    without = quick().losses
    scheduler = torch.optim.lr_scheduler.StepLR(workshop.optimizer, 1)
    before = everything(workshop.model, workshop.optimizer, workshop.loader)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(quick().losses, without)
        assert everything(workshop.model, workshop.optimizer, workshop.loader) == before
        workshop.optimizer.step()
        scheduler.step()
    assert workshop.optimizer.param_groups[0]["lr"] == pytest.approx(0.002)


def test_tied_weights_and_parts_of_one_buffer_stay_tied(digits):
    torch.manual_seed(0)
    flat = torch.randn(2 * 64)
    model = nn.Module()
    model.a, model.b = (nn.Parameter(flat[i * 64 : (i + 1) * 64]) for i in range(2))
    model.whole = nn.Parameter(flat)
    model.forward = lambda x: (x * model.whole[:64] + x * model.b).sum(1, keepdim=True).expand(-1, 10)
    optimizer = torch.optim.SGD([model.a, model.b], lr=0.1)
    tied = []

    def step(model, batch):
        tied.append(torch.equal(model.whole, torch.cat([model.a, model.b])))
        return (batch[0] * model.a + batch[0] * model.b).sum(1).square().mean()

    diagnose.lr_range_test(model, optimizer, None, DataLoader(digits, 32), steps=13, step=step)
    assert len(tied) > 3 and all(tied)
    assert model.whole.data_ptr() == model.a.data_ptr()


class Locked(nn.Module):
    """Cannot be copied: it holds a lock."""

    def __init__(self):
        super().__init__()
        self.linear, self.lock, self.calls = nn.Linear(64, 10), threading.Lock(), 0

    def forward(self, x):
        self.calls += 1
        return self.linear(x)


def test_a_model_that_cannot_be_copied_is_put_back_all_the_same(digits, everything):
    model = Locked()
    optimizer = torch.optim.Adam(model.parameters())
    before = everything(model, optimizer)
    found = diagnose.lr_range_test(model, optimizer, nn.CrossEntropyLoss(), DataLoader(digits, 32), steps=13)
    assert len(found.losses) == 13
    assert everything(model, optimizer) == before and model.calls == 0


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: nn.Sequential(nn.LazyLinear(10)), "run the model once on a batch"),
        (lambda: nn.Linear(64, 10, device="meta"), "meta"),
        (lambda: torch.jit.script(nn.Linear(64, 10)), "scripted"),
    ],
    ids=["lazy", "meta", "scripted"],
)
def test_a_model_that_cannot_be_put_back_is_refused_with_the_reason(model, reason, digits):
    model = model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(diagnose.InvalidArgumentError, match=reason):
        diagnose.lr_range_test(model, optimizer, nn.CrossEntropyLoss(), DataLoader(digits, 32))
    del model, optimizer
    gc.collect()  # a lazy module holds itself, and other tests look at all tensors there are


def test_everything_is_as_before_where_the_loss_ends_in_no_number(workshop, everything, quick):
    before = everything(workshop.model, workshop.optimizer, workshop.loader)
    with torch.no_grad():
        found = quick(step=lambda model, batch: workshop.criterion(model(batch[0]).exp() ** 40, batch[1]), highest=1e9)
    assert "no longer a number" in found.stopped or "diverged" in found.stopped
    assert everything(workshop.model, workshop.optimizer, workshop.loader) == before


def test_a_wrapper_around_the_model_keeps_its_mode(plain):
    model, optimizer, criterion, loader = plain()
    for wrapped in (nn.DataParallel(model).eval(), torch.compile(model, backend="eager").eval()):
        modes = []
        wrapped.register_forward_pre_hook(lambda module, _, modes=modes: modes.append(module.training))
        diagnose.lr_range_test(wrapped, optimizer, criterion, loader, steps=13)
        assert all(modes) and not any(module.training for module in wrapped.modules())


class Counted(nn.Module):
    """A criterion that is a method, of a module that counts."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def loss(self, output, targets):
        self.calls += 1
        return nn.functional.cross_entropy(output, targets)

    def step(self, model, batch):
        return self.loss(model(batch[0]), batch[1])


def test_the_module_behind_a_method_is_put_back(plain):
    model, optimizer, _, loader = plain()
    counted = Counted()
    diagnose.lr_range_test(model, optimizer, counted.loss, loader, steps=13)
    diagnose.lr_range_test(model, optimizer, None, loader, steps=13, step=counted.step)
    diagnose.loss_landscape(model, None, loader, step=counted.step, points=3)
    assert counted.calls == 0


def test_the_generators_of_all_devices_go_on_from_where_they_stood(plain, monkeypatch):
    model, optimizer, criterion, loader = plain()
    devices = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)  # as if of two GPUs
    monkeypatch.setattr(torch.cuda, "default_generators", devices)
    states = [generator.get_state() for generator in devices]

    def step(model, batch):
        noise = torch.randn(64, generator=devices[0]) + torch.randn(64, generator=devices[1])
        return criterion(model(batch[0] + 0.1 * noise), batch[1])

    diagnose.lr_range_test(model, optimizer, None, loader, step=step, steps=13)
    assert all(map(torch.equal, states, (generator.get_state() for generator in devices)))


def test_a_hook_that_may_take_steps_by_itself_is_refused(plain):
    model, optimizer, criterion, loader = plain()
    own = torch.optim.Adam([model[0].weight])
    model[0].weight.register_post_accumulate_grad_hook(lambda _: own.step())
    with pytest.raises(diagnose.InvalidArgumentError, match=r"hook of 0\.weight runs after each backward pass"):
        diagnose.lr_range_test(model, optimizer, criterion, loader)
    assert not own.state


def test_a_captured_graph_is_refused(plain):
    def make_graphed_callables(module):  # torch's own needs a GPU; this leaves the same name behind
        def new_forward(*inputs):
            return type(module).forward(module, *inputs)

        module.forward = new_forward

    model, optimizer, criterion, loader = plain()
    make_graphed_callables(model[2])
    with pytest.raises(diagnose.InvalidArgumentError, match="2 runs as a captured CUDA graph"):
        diagnose.lr_range_test(model, optimizer, criterion, loader)


def test_hooks_on_gradients_run_and_complex_and_sparse_ones_are_put_back(digits, everything):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = nn.Embedding(17, 8, sparse=True)
            self.waves = nn.Parameter(torch.randn(8, 10, dtype=torch.complex64))

        def forward(self, x):
            return (self.rows((x * 16).long()).mean(1).to(torch.complex64) @ self.waves).abs()

    torch.manual_seed(0)
    model = Odd()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    halved = []
    model.waves.register_hook(lambda gradient: halved.append(1) or gradient / 2)
    before = everything(model, optimizer)
    found = diagnose.lr_range_test(
        model, optimizer, nn.CrossEntropyLoss(), DataLoader(digits, 64), lowest=1e-2, highest=100.0, steps=60
    )
    assert found.suggestion and len(halved) >= len(found.losses)
    assert everything(model, optimizer) == before
