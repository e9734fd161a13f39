"""Optimizers of every kind: with a closure, without a rate, dropped for another, with groups that come later."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

import diagnose

EVERY = diagnose.Cadence()


def gradient_norm(model):
    return float(torch.cat([p.grad.flatten() for p in model.parameters()]).norm())


def train(training, run_dir, step_by, steps=12, broken=None):
    """`step_by(optimizer, closure)` takes each step; the batch of step `broken` holds a NaN. Returns true norms."""
    norms, losses = [], []
    with diagnose.attach(
        training.model, training.optimizer, criterion=training.criterion, run_dir=run_dir, cadence=EVERY
    ):
        for step in range(1, steps + 1):
            x = training.x[:32].clone()
            x[0, 0] = torch.nan if step == broken else x[0, 0]
            seen = []

            def closure(x=x, seen=seen):
                training.optimizer.zero_grad()
                loss = training.criterion(training.model(x), training.y[:32])
                loss.backward()
                seen.append((gradient_norm(training.model), loss.item()))
                return loss

            step_by(training.optimizer, closure)
            norms.append(seen[0][0])
            losses.append(seen[0][1])
    return np.array(norms), np.array(losses)


def by_hand(optimizer, closure):
    closure()
    optimizer.step()


def by_closure(optimizer, closure):
    return optimizer.step(closure)


def by_keyword(optimizer, closure):
    return optimizer.step(closure=closure)


@pytest.mark.parametrize("step_by", [by_hand, by_closure, by_keyword])
def test_gradients_are_those_of_the_step_however_it_is_taken(training, tmp_path, step_by):
    norms, _ = train(training, tmp_path, step_by)
    logged = diagnose.load(tmp_path).scalars["grad_norm"]
    assert logged.steps.tolist() == list(range(1, 13))
    assert np.allclose(logged.values, norms, rtol=1e-5)


def test_a_search_along_a_line_shows_the_gradient_at_the_steps_own_weights(training, tmp_path):
    training.optimizer = torch.optim.LBFGS(training.model.parameters(), lr=0.1, max_iter=4)
    norms, _ = train(training, tmp_path, by_closure)
    logged = diagnose.load(tmp_path).scalars["grad_norm"]
    assert np.allclose(logged.values, norms, rtol=1e-5)


@pytest.mark.parametrize("step_by", [by_hand, by_closure])
def test_a_break_inside_a_closure_is_traced_like_any_other(training, tmp_path, step_by):
    train(training, tmp_path, step_by, broken=7)
    (finding,) = [f for f in diagnose.examine(tmp_path).findings if f.id == "nan_loss"]
    assert (finding.evidence["origin"], finding.evidence["origin_step"]) == ("inputs", 7)


def test_a_closures_result_reaches_whoever_takes_the_step(training, tmp_path):
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path):
        assert training.optimizer.step(lambda: 5.0) == 5.0
        assert training.optimizer.step(closure=lambda: 6.0) == 6.0
        assert training.optimizer.step() is None


class FindsItsRate(torch.optim.SGD):
    """Has no rate in its groups, as Adafactor's relative steps."""

    def __init__(self, parameters):
        super().__init__(parameters, lr=0.1)
        for group in self.param_groups:
            group["lr"] = None

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.sub_(0.1 * parameter.grad)


def test_an_optimizer_without_a_rate_is_followed_without_it(training, tmp_path, caplog):
    training.optimizer = FindsItsRate(training.model.parameters())
    norms, _ = train(training, tmp_path, by_hand)
    run = diagnose.load(tmp_path)
    assert np.allclose(run.scalars["grad_norm"].values, norms, rtol=1e-5)
    assert not [name for name in run.scalars if name.startswith("lr")]
    assert not caplog.records


def test_an_optimizer_that_training_dropped_is_let_go_and_its_place_taken(training, tmp_path):
    dropped = []
    with diagnose.attach(training.model, criterion=training.criterion, run_dir=tmp_path):
        for lr in (0.1, 0.2, 0.3):
            training.optimizer = torch.optim.Adam(training.model.parameters(), lr)
            dropped.append(weakref.ref(training.optimizer))
            training.run(5)
        gc.collect()
        assert [reference() is None for reference in dropped] == [True, True, False]
    run = diagnose.load(tmp_path)
    assert np.allclose(run.scalars["lr/group0"].values, [0.1] * 5 + [0.2] * 5 + [0.3] * 5)
    assert run.scalars["loss/train"].steps.tolist() == list(range(1, 16))


def test_a_group_that_comes_later_moves_the_names_of_those_behind_it(training, tmp_path):
    first, *_, last = training.model
    one = torch.optim.SGD([first.weight], lr=0.1)
    other = torch.optim.SGD(last.parameters(), lr=0.5)
    with diagnose.attach(training.model, one, criterion=training.criterion, run_dir=tmp_path):
        for step in range(1, 7):
            if step == 4:
                one.add_param_group({"params": [first.bias], "lr": 0.01})
            training.criterion(training.model(training.x), training.y).backward()
            one.step()
            other.step()
    rates = {name: s.values for name, s in diagnose.load(tmp_path).scalars.items() if name.startswith("lr/")}
    assert np.allclose(rates["lr/group0"], 0.1)
    assert np.allclose(rates["lr/group1"][-3:], 0.01)
    assert np.allclose(rates["lr/group2"], 0.5)


def test_a_wrapper_that_takes_no_hooks_is_followed_by_what_it_steps(training, tmp_path):
    class Wrapper(torch.optim.Optimizer):
        """As Accelerate's: it is an optimizer by name alone."""

        def __init__(self, optimizer):
            self.optimizer = optimizer

        def step(self, closure=None):
            return self.optimizer.step(closure)

    wrapper = Wrapper(training.optimizer)
    with diagnose.attach(training.model, wrapper, criterion=training.criterion, run_dir=tmp_path):
        for _ in range(3):
            training.optimizer.zero_grad()
            training.loss().backward()
            wrapper.step()
    run = diagnose.load(tmp_path)
    assert run.scalar("lr/group0").steps.tolist() == [1, 2, 3]
    assert run.setup.optimizer["type"] == "SGD"
