"""The learning-rate range test: what it suggests, and that nothing is left of it."""

from __future__ import annotations

import copy
import gc
import itertools
import json
import random
import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset
from torch_lr_finder import LRFinder

import diagnose
from diagnose.hooks.experiments.range_curve import range_of

EVERY = diagnose.Cadence(gradients=1, activations=1, updates=1, noise=1, curvature=0)
RARELY = diagnose.Cadence(curvature=0)


def quick(workshop, **others):
    told = {"steps": 30, "lowest": 1e-4, **others}
    return diagnose.lr_range_test(workshop.model, workshop.optimizer, workshop.criterion, workshop.loader, **told)


def plain(digits, seed=0, kind="momentum"):
    """An untrained classifier of digits with its optimizer, criterion and loader."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = {
        "plain": lambda: torch.optim.SGD(model.parameters(), lr=1e-5),
        "momentum": lambda: torch.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9),
        "adam": lambda: torch.optim.AdamW(model.parameters(), lr=1e-5),
    }[kind]()
    return model, optimizer, nn.CrossEntropyLoss(), DataLoader(digits, batch_size=32, shuffle=True)


# --- nothing is left of it


def test_everything_is_bit_for_bit_as_before(workshop, everything):
    before = everything(workshop.model, workshop.optimizer, workshop.loader)
    found = quick(workshop, zoom=True)
    assert len(found.losses) > 10
    assert everything(workshop.model, workshop.optimizer, workshop.loader) == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_everything_is_as_before_where_it_is_broken_off(workshop, everything, error):
    before = everything(workshop.model, workshop.optimizer, workshop.loader)
    calls = itertools.count()

    def step(model, batch):
        if next(calls) == 7:
            model[4].bias.requires_grad_(True)
            raise error("broken off")
        return workshop.criterion(model(batch[0]), batch[1])

    with pytest.raises(error, match="broken off"):
        quick(workshop, step=step)
    assert next(calls) == 8
    assert everything(workshop.model, workshop.optimizer, workshop.loader) == before


def test_training_goes_on_as_if_it_had_never_been(workshop, digits):
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
    quick(workshop)
    assert workshop.train(10) == without


def test_an_attached_monitor_sees_nothing_of_it(digits, tmp_path):
    curves = []
    for name in ("with", "without"):
        model, optimizer, criterion, loader = plain(digits)
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


def test_a_scheduler_does_not_count_its_steps_nor_lead_them_to_the_original(workshop, everything):
    without = quick(workshop).losses
    scheduler = torch.optim.lr_scheduler.StepLR(workshop.optimizer, 1)
    before = everything(workshop.model, workshop.optimizer, workshop.loader)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(quick(workshop).losses, without)
        assert everything(workshop.model, workshop.optimizer, workshop.loader) == before
        workshop.optimizer.step()
        scheduler.step()
    assert workshop.optimizer.param_groups[0]["lr"] == pytest.approx(0.002)


def test_persistent_workers_go_on_in_the_middle_of_their_epoch(digits):
    model, optimizer, criterion, _ = plain(digits)
    loader = DataLoader(digits, batch_size=64, num_workers=1, persistent_workers=True, shuffle=False)
    batches = iter(loader)
    next(batches)
    diagnose.lr_range_test(model, optimizer, criterion, loader, steps=12)
    assert torch.equal(next(batches)[1], digits.tensors[1][64:128])


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

    diagnose.lr_range_test(model, optimizer, None, DataLoader(digits, 32), steps=12, step=step)
    assert len(tied) > 3 and all(tied)
    assert model.whole.data_ptr() == model.a.data_ptr()


# --- what it is given


class OwnLoss(nn.Module):
    """As Transformers' models are: keywords in, an output with a loss out."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, pixels, labels=None):
        logits = self.linear(pixels)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SimpleNamespace(logits=logits, loss=loss)


def test_batches_may_be_tuples_or_mappings_and_the_step_the_users_own(digits):
    torch.manual_seed(0)
    model = OwnLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tuples = DataLoader(digits, batch_size=64)
    mappings = [{"pixels": x, "labels": y} for x, y in tuples]
    criterion = nn.CrossEntropyLoss()
    curves = [
        diagnose.lr_range_test(model, optimizer, criterion, mappings, steps=25).losses,
        diagnose.lr_range_test(model, optimizer, None, mappings, steps=25).losses,
        diagnose.lr_range_test(
            model, optimizer, None, tuples, steps=25, step=lambda model, batch: model(*batch).loss
        ).losses,
    ]  # fmt: skip
    assert all(np.array_equal(curves[0], other) for other in curves[1:])


def test_a_batch_that_does_not_tell_its_targets_is_refused(workshop, digits):
    with pytest.raises(diagnose.InvalidArgumentError, match="does not tell inputs from targets"):
        diagnose.lr_range_test(workshop.model, workshop.optimizer, workshop.criterion, [digits.tensors[0][:8]])
    with pytest.raises(diagnose.InvalidArgumentError, match="has no loss: pass criterion"):
        diagnose.lr_range_test(workshop.model, workshop.optimizer, None, [digits.tensors[0][:8]])


def test_accumulated_micro_batches_are_one_larger_batch(digits):
    model, optimizer, criterion, _ = plain(digits)
    whole = diagnose.lr_range_test(model, optimizer, criterion, DataLoader(digits, 64), steps=25)
    halves = diagnose.lr_range_test(model, optimizer, criterion, DataLoader(digits, 32), steps=25, accumulation_steps=2)
    assert halves.losses == pytest.approx(whole.losses, rel=1e-3)


def test_mixed_precision_runs_as_in_training_and_the_scaler_keeps_its_scale(workshop, everything):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=3)
    seen = []
    workshop.model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    before = everything(workshop.model, workshop.optimizer, workshop.loader, scaler)
    exact = quick(workshop)
    assert set(seen) == {torch.float32}
    seen.clear()
    mixed = quick(workshop, autocast=torch.bfloat16, scaler=scaler)
    assert set(seen) == {torch.bfloat16}
    assert mixed.losses[:10] == pytest.approx(exact.losses[:10], rel=0.02)
    assert everything(workshop.model, workshop.optimizer, workshop.loader, scaler) == before


def test_groups_keep_their_share_of_the_rate(digits):
    model, _, _, loader = plain(digits)
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2:].parameters(), "lr": 0.001}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    moved = []

    def step(model, batch):
        moved.append([model[0].weight.detach().clone(), model[2].bias.detach().clone()])
        return model[0].weight.sum() + model[2].bias.sum()

    found = diagnose.lr_range_test(model, optimizer, None, loader, steps=12, step=step)
    for rate, before, after in zip(found.rates, moved, moved[1:], strict=False):
        for share, old, new in zip((1.0, 0.01), before, after, strict=True):
            assert (old - new).numpy() == pytest.approx(share * rate, rel=1e-2, abs=1e-6)


def test_clipping_is_that_of_the_training(digits):
    model, optimizer, criterion, loader = plain(digits, kind="plain")
    told = {"lowest": 1e-3, "highest": 100.0, "steps": 60}
    free = diagnose.lr_range_test(model, optimizer, criterion, loader, **told)
    clipped = diagnose.lr_range_test(model, optimizer, criterion, loader, max_norm=0.05, **told)
    assert clipped.lowest > 2 * free.lowest, "a clipped step bears a higher rate"


def test_an_optimizer_that_wants_a_closure_gets_one(digits):
    model, _, criterion, loader = plain(digits)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=1, max_iter=2)
    found = diagnose.lr_range_test(model, optimizer, criterion, loader, lowest=1e-3, highest=1.0, steps=15)
    assert found.losses[-1] < found.losses[0] and not optimizer.state


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
    found = diagnose.lr_range_test(model, optimizer, nn.CrossEntropyLoss(), DataLoader(digits, 32), steps=12)
    assert len(found.losses) == 12
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


def test_a_loader_without_a_length_goes_round_and_one_that_is_used_up_says_so(workshop, digits):
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([(digits[number]) for number in range(96)])

    pieces = DataLoader(Stream(), batch_size=32)
    told = (workshop.model, workshop.optimizer, workshop.criterion)
    found = diagnose.lr_range_test(*told, pieces, steps=20, lowest=1e-5, highest=1e-2)
    assert len(found.losses) == 20 and "20 batches" in found.notes[0] and "iterable" in found.notes[0]
    found = diagnose.lr_range_test(*told, (batch for batch in list(workshop.loader)[:15]), steps=20, highest=1e-2)
    assert len(found.losses) == 15 and "no more batches" in found.stopped and "15 batches are gone" in found.notes[0]
    with pytest.raises(diagnose.InvalidArgumentError, match="loader with batches"):
        diagnose.lr_range_test(*told, [])
    assert diagnose.lr_range_test(*told, workshop.loader, steps=11).notes == ()


# --- what it suggests


@pytest.mark.parametrize("kind", ["plain", "momentum"])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_agrees_with_torch_lr_finder(digits, kind, seed):
    """Within a factor of 1.5: three of the curve's points, each 1.15 times the last.

    Both see the same batches at the same rates. Their averages differ: ours is corrected for its beginning and half
    as long. The range ends before the loss diverges: of a curve that falls back from there, theirs takes the falling
    back for the steepest descent, and ours looks before the lowest loss alone.
    """
    highest = {"plain": 5.0, "momentum": 1.0}[kind]
    model, optimizer, criterion, loader = plain(digits, seed, kind)
    ours = diagnose.lr_range_test(model, optimizer, criterion, loader, lowest=1e-5, highest=highest, steps=100)
    finder = LRFinder(model, optimizer, criterion)
    finder.range_test(loader, end_lr=highest, num_iter=100)
    rates, losses = finder.history["lr"][10:-5], finder.history["loss"][10:-5]
    theirs = rates[int(np.gradient(np.array(losses)).argmin())]
    assert theirs / 1.5 < ours.steepest < theirs * 1.5


@pytest.mark.parametrize("kind", ["plain", "momentum", "adam"])
def test_the_suggested_rate_trains_better_than_one_far_below_and_one_far_above(digits, kind):
    model, optimizer, criterion, loader = plain(digits, 0, kind)
    found = diagnose.lr_range_test(model, optimizer, criterion, loader, lowest=1e-6)
    ends = {}
    for factor in (0.01, 1.0, 30.0):
        model, optimizer, criterion, loader = plain(digits, 0, kind)
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


def test_the_second_pass_looks_closer_around_the_first(digits):
    model, optimizer, criterion, loader = plain(digits)
    found = diagnose.lr_range_test(model, optimizer, criterion, loader, lowest=1e-6, steps=60, zoom=True)
    closer = found.closer
    assert closer.rates[0] == pytest.approx(found.steepest / 10) and closer.rates[-1] <= 10 * found.steepest * 1.001
    assert found.suggestion == closer.steepest and found.steepest / 10 < found.suggestion < 10 * found.steepest


@pytest.mark.parametrize("seed", range(3))
def test_where_the_loss_never_falls_nothing_is_suggested(seed):
    torch.manual_seed(seed)
    noise = [(torch.randn(32, 64), torch.randint(0, 10, (32,))) for _ in range(100)]
    model = nn.Linear(64, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = diagnose.lr_range_test(model, optimizer, nn.CrossEntropyLoss(), noise, highest=1e-4)
    assert found.suggestion is None and "no rate is suggested" in found.summary


def test_a_loss_that_is_no_number_ends_it_with_the_rate_at_which_it_was(digits):
    model, optimizer, criterion, loader = plain(digits, kind="plain")
    calls = itertools.count()

    def step(model, batch):
        loss = criterion(model(batch[0]), batch[1])
        return loss * float("nan") if next(calls) == 20 else loss

    found = diagnose.lr_range_test(model, optimizer, None, loader, step=step, lowest=1e-4, highest=1.0, steps=41)
    assert len(found.losses) == 20 and "no longer a number at a rate of 0.01" in found.stopped


def test_the_steepest_point_of_a_known_curve_is_found_through_noise():
    rates = np.geomspace(1e-5, 10, 100)
    fall = 2.3 - 2 / (1 + np.exp(-2 * np.log(rates / 0.01))) + 0.5 * (rates / 1.0) ** 2
    noise = np.random.default_rng(0).normal(0, 0.05, 100)
    found = range_of(rates, fall + noise, "")
    assert 0.01 < found.steepest < 0.06, "the average lags behind by its window: ten points, a factor of 4"
    assert 0.05 < found.lowest < 2


# --- what it shows


def test_the_curve_is_drawn_told_and_kept_as_plain_data(workshop):
    found = quick(workshop, zoom=True, lowest=1e-5, steps=40)
    figure = found.plot()
    assert figure.layout.xaxis.type == "log" and len(figure.data) == (4 if found.closer else 2)
    kept = json.loads(json.dumps(found.to_dict()))
    assert kept["suggestion"] == found.suggestion and len(kept["rates"]) == len(kept["losses"]) == len(found.losses)
    assert "Begin with a rate of" in found._repr_html_() or "no rate is suggested" in found._repr_html_()


@pytest.mark.parametrize(
    "wrong", [{"lowest": 0.0}, {"lowest": 2.0, "highest": 1.0}, {"steps": 3}, {"accumulation_steps": 0}]
)
def test_what_cannot_be_tried_is_refused(workshop, wrong):
    with pytest.raises(diagnose.InvalidArgumentError):
        quick(workshop, **wrong)


def test_advice_on_the_rate_goes_to_what_the_test_measured(digits, tmp_path):
    model, optimizer, criterion, loader = plain(digits)
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
