"""attach: what lands in the log, and at which step."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import nn

import diagnose
from diagnose.hooks.course import Course


def test_every_step_has_its_loss_rate_and_gradient_norm(training, tmp_path):
    with diagnose.attach(
        training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path, cadence=diagnose.Cadence()
    ):
        losses = training.run(25)
    run = diagnose.load(tmp_path)
    for name in ("loss/train", "lr/group0", "grad_norm"):
        assert run.scalars[name].steps.tolist() == list(range(1, 26))
    assert np.allclose(run.scalars["loss/train"].values, losses, rtol=1e-6)
    assert np.allclose(run.scalars["lr/group0"].values, 0.1)


def test_each_step_is_one_event_and_each_layer_signal_one_vector(training, tmp_path):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    with diagnose.attach(
        training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path, cadence=diagnose.Cadence()
    ):
        training.run(12)
    *events, closing = [e for e in EventFileLoader(str(next(tmp_path.iterdir()))).Load() if e.step]
    assert [value.tag for value in closing.summary.value] == ["diagnose/closed"]
    assert [e.step for e in events] == list(range(1, 13))
    tags = [[v.tag for v in e.summary.value] for e in events]
    assert all(t.count("layers/grad_norm") == 1 for t in tags)
    assert [e.step for e, t in zip(events, tags, strict=True) if "layers/activation_variance" in t] == [1, 11]


def test_the_optimizer_is_found_at_its_first_step(training, tmp_path):
    with diagnose.attach(training.model, criterion=training.criterion, run_dir=tmp_path):
        training.run(5)
    run = diagnose.load(tmp_path)
    assert run.scalars["lr/group0"].steps.tolist() == [1, 2, 3, 4, 5]
    assert run.setup.optimizer["type"] == "SGD"


def test_another_models_optimizer_is_not_taken_for_ours(training, new_training, tmp_path):
    other = new_training(seed=1)
    with diagnose.attach(training.model, run_dir=tmp_path):
        other.run(3)
        training.run(2)
    assert diagnose.load(tmp_path).scalars["lr/group0"].steps.tolist() == [1, 2]


def test_a_value_logged_before_or_after_the_optimizer_step_lands_on_that_step(training, tmp_path):
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path) as monitor:
        for number in range(1, 6):
            loss = training.loss()
            monitor.log(before=float(number))
            training.optimizer.zero_grad()
            loss.backward()
            training.optimizer.step()
            monitor.log(loss=loss, after=float(number))
    run = diagnose.load(tmp_path)
    for name in ("before/train", "after/train"):
        assert run.scalars[name].steps.tolist() == run.scalars[name].values.tolist() == [1, 2, 3, 4, 5]
    assert run.scalars["loss/train"].steps.tolist() == [1, 2, 3, 4, 5]


def test_a_value_logged_for_a_given_step_lands_there(training, tmp_path):
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path) as monitor:
        training.run(3)
        monitor.log(split="validation", step=100, loss=0.5)
    assert diagnose.load(tmp_path).scalars["loss/validation"].steps.tolist() == [100]


def test_under_accumulation_a_step_is_an_optimizer_step_and_its_loss_the_mean(training, tmp_path):
    expected = []
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        for _ in range(4):
            training.optimizer.zero_grad()
            micro = []
            for part in range(3):
                loss = training.loss(slice(32 * part, 32 * part + 32))
                (loss / 3).backward()
                micro.append(loss.item())
            training.optimizer.step()
            expected.append(np.mean(micro))
    run = diagnose.load(tmp_path)
    assert run.scalars["loss/train"].steps.tolist() == [1, 2, 3, 4]
    assert np.allclose(run.scalars["loss/train"].values, expected, rtol=1e-6)


def test_validation_loss_is_the_mean_over_samples_also_with_a_short_last_batch(training, tmp_path):
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        training.run(3)
        training.model.eval()
        with torch.no_grad():
            for rows in (slice(0, 64), slice(64, 96)):
                training.loss(rows)
            whole = training.criterion(training.model(training.x), training.y)  # the whole set once more
        training.model.train()
        training.run(1)
    series = diagnose.load(tmp_path).scalars["loss/validation"]
    assert series.steps.tolist() == [3]
    assert np.isclose(series.values[0], whole.item(), rtol=1e-5)


def test_a_models_own_loss_is_seen(tmp_path):
    class Output(dict):
        @property
        def loss(self):
            return self["loss"]

    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 1)

        def forward(self, x):
            return Output(loss=self.linear(x).square().mean(), logits=x)

    model = WithLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with diagnose.attach(model, optimizer, run_dir=tmp_path):
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(8, 4)).loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            model(torch.randn(8, 4))
    run = diagnose.load(tmp_path)
    assert len(run.scalars["loss/train"]) == 3
    assert run.scalars["loss/validation"].steps.tolist() == [3]


def test_the_set_up_tells_what_ran(training, tmp_path):
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(training.optimizer, 10)
    config = {"batch_size": 32, "note": object, "betas": (0.9, 0.99)}
    with diagnose.attach(training.model, training.optimizer, scheduler=scheduler, run_dir=tmp_path, config=config):
        training.run(1)
    setup = diagnose.load(tmp_path).setup
    assert setup.config["batch_size"] == 32 and setup.config["betas"] == [0.9, 0.99]
    assert setup.optimizer["groups"][0]["momentum"] == 0.9
    assert setup.scheduler["type"] == "CosineAnnealingLR" and setup.scheduler["T_max"] == 10
    assert setup.environment["torch"] == torch.__version__ and setup.environment["seed"] == torch.initial_seed()
    assert setup.model == {
        "type": "Sequential", "parameters": 467, "trainable_parameters": 467, "dtype": "torch.float32",
    }  # fmt: skip
    assert [(layer.type, layer.activation) for layer in setup.layers] == [
        ("Linear", "ReLU"),
        ("Linear", "Tanh"),
        ("Linear", ""),
    ]
    assert setup.layers[0].init["fan_in"] == 8 and setup.modules["ReLU"] == 1


def test_layers_are_told_in_the_order_in_which_they_run(tmp_path):
    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second = nn.Linear(4, 4)
            self.first = nn.Linear(4, 4)
            self.unused = nn.Linear(4, 4)

        def forward(self, x):
            return self.second(self.first(x))

    model = Crossed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with diagnose.attach(model, optimizer, run_dir=tmp_path):
        model(torch.randn(5, 4)).sum().backward()
        optimizer.step()
    run = diagnose.load(tmp_path)
    assert run.layer_names == ("first", "second", "unused")
    norms = run.layer_signals["layers/grad_norm"].values[0]
    assert np.isclose(norms[0], _norm(model.first)) and np.isclose(norms[1], _norm(model.second)) and norms[2] == 0


def _norm(module):
    return float(torch.cat([p.grad.flatten() for p in module.parameters()]).double().norm())


def test_the_default_run_dir_bears_time_and_model_and_never_an_old_runs_name(training, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = diagnose.attach(training.model, training.optimizer)
    second = diagnose.attach(training.model, training.optimizer)
    first.close()
    second.close()
    assert first.run_dir != second.run_dir
    assert first.run_dir.parent.name == "runs" and first.run_dir.name.endswith("-Sequential")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "resnet"}, r"attach\(model='resnet'\): expected a torch.nn.Module"),
        ({"optimizer": 0.1}, r"attach\(optimizer=0.1\)"),
        ({"criterion": nn.functional.mse_loss}, r"attach\(criterion=.*monitor.log"),
        ({"config": [1]}, r"attach\(config="),
        ({"cadence": "often"}, r"attach\(cadence="),
        ({"on_finding": "print"}, r"attach\(on_finding="),
        ({"halt_on": ["nan_los"]}, r"no symptom is called 'nan_los'; known are .*nan_loss"),
        ({"run_dir": "/proc/nowhere"}, r"attach\(run_dir='/proc/nowhere'\): cannot be written"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named_at_once(training, tmp_path, change, message):
    arguments = {"model": training.model, "optimizer": training.optimizer, "run_dir": tmp_path / "run", **change}
    with pytest.raises(diagnose.InvalidArgumentError, match=message):
        diagnose.attach(arguments.pop("model"), arguments.pop("optimizer"), **arguments)
    assert not training.model._forward_hooks and not training.optimizer._optimizer_step_pre_hooks


def test_what_cannot_be_logged_is_told_once_and_training_goes_on(training, tmp_path, caplog):
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path) as monitor:
        for _ in range(3):
            training.step()
            monitor.log(logits=torch.zeros(3), name="text", loss=1.0)
        monitor.log(split="test", a=1.0)
        monitor.log(step="7", b=1.0)
        monitor.log(step=-1, c=1.0)
    warnings = [r.getMessage() for r in caplog.records]
    assert len(warnings) == 5 and "log(logits=…)" in warnings[0] and "log(name=…)" in warnings[1]
    assert len(diagnose.load(tmp_path).scalars["loss/train"]) == 3


def test_a_probe_that_fails_is_switched_off_with_one_warning_and_the_rest_goes_on(
    training, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(torch, "_foreach_norm", None)
    with (
        caplog.at_level(logging.WARNING),
        diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path),
    ):
        training.run(30)
    assert len([r for r in caplog.records if "gradients is switched off" in r.getMessage()]) == 1
    assert len(diagnose.load(tmp_path).scalars["loss/train"]) == 30


def test_a_failure_of_our_own_at_a_step_ends_the_watching_with_one_warning_and_never_the_training(
    training, tmp_path, caplog, monkeypatch
):
    def fail(*_: object) -> None:
        raise ValueError("ours")

    with (
        caplog.at_level(logging.WARNING),
        diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path),
    ):
        training.run(20)
        monkeypatch.setattr(Course, "before_step", fail)
        assert len(training.run(20)) == 20
    (told,) = [r.getMessage() for r in caplog.records]
    assert "no longer watched" in told and "ValueError: ours" in told
    assert len(diagnose.load(tmp_path).scalars["loss/train"]) in (20, 21)


def test_lazy_modules_are_described_once_they_know_their_size(tmp_path):
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 2))
    with diagnose.attach(model, run_dir=tmp_path):
        model(torch.randn(6, 4))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(6, 4)).sum().backward()
            optimizer.step()
    run = diagnose.load(tmp_path)
    assert [layer.parameters for layer in run.setup.layers] == [40, 18]
    assert len(run.scalars["grad_norm"]) == 3


def test_a_closure_that_is_called_several_times_is_one_step(training, tmp_path):
    optimizer = torch.optim.LBFGS(training.model.parameters(), max_iter=4)

    def closure():
        optimizer.zero_grad()
        loss = training.loss()
        loss.backward()
        return loss

    with diagnose.attach(training.model, optimizer, criterion=training.criterion, run_dir=tmp_path):
        for _ in range(5):
            optimizer.step(closure)
    assert diagnose.load(tmp_path).scalars["loss/train"].steps.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.slow  # hundreds of steps, most of them looked at
def test_the_log_tells_which_cadence_ran_when(training, tmp_path):
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        training.run(400)
    run = diagnose.load(tmp_path)
    periods = run.scalars["diagnose/cadence/activations"]
    looked = run.layer_signals["layers/activation_variance"].steps
    assert periods.steps.tolist() == looked.tolist()
    assert (np.diff(looked) == periods.values[:-1]).all()
    assert run.unmapped == ()
