"""attach: what lands in the log, at which step, and that training is left alone."""

from __future__ import annotations

import copy
import gc
import logging
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import diagnose


def test_losses_and_weights_are_the_same_bit_for_bit_with_and_without_us(new_training, tmp_path):
    plain, watched = new_training(), new_training()
    expected = plain.run(60)
    state = torch.get_rng_state()
    torch.manual_seed(1)  # attaching itself must not draw from the generator either
    watched = new_training()
    with diagnose.attach(watched.model, watched.optimizer, criterion=watched.criterion, run_dir=tmp_path):
        assert watched.run(60) == expected
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(plain.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_every_step_has_its_loss_rate_and_gradient_norm(training, tmp_path):
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
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
    assert setup.model == {"type": "Sequential", "parameters": 467, "trainable_parameters": 467}
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


def test_close_removes_every_hook_and_may_be_called_twice(training, tmp_path):
    before = copy.deepcopy(training.model.state_dict())
    monitor = diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path)
    training.run(12)
    monitor.close()
    monitor.close()
    for module in (*training.model.modules(), training.criterion):
        assert not module._forward_hooks and not module._forward_pre_hooks
    assert not training.optimizer._optimizer_step_pre_hooks and not training.optimizer._optimizer_step_post_hooks
    assert training.model.state_dict().keys() == before.keys()
    assert not [t for t in threading.enumerate() if t.name == "diagnose-writer"]


def test_a_log_says_whether_it_was_closed_in_order(training, tmp_path):
    monitor = diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path)
    training.run(120)
    while not next(iter(tmp_path.iterdir())).stat().st_size > 20_000:
        training.run(1)
    assert not diagnose.load(tmp_path).closed
    monitor.close()
    assert diagnose.load(tmp_path).closed


def test_a_model_being_watched_copies_and_pickles_as_ever(training, tmp_path):
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        training.run(3)
        twin = copy.deepcopy(training.model)
        again = pickle.loads(pickle.dumps(training.model))
        torch.optim.SGD(twin.parameters(), lr=0.1).step()
        assert torch.equal(twin(training.x), again(training.x))
    assert diagnose.load(tmp_path).steps == 3


def test_a_dropped_model_takes_its_monitor_along_and_leaves_a_whole_log(new_training, tmp_path):
    training = new_training()
    alive = weakref.ref(training.model)
    diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path)
    training.run(7)
    del training
    gc.collect()
    assert alive() is None
    assert len(diagnose.load(tmp_path).scalars["loss/train"]) == 7


SCRIPT = """
    import torch, diagnose
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    criterion = torch.nn.MSELoss()
    diagnose.attach(model, optimizer, criterion=criterion, run_dir={run_dir!r})
    for _ in range(9):
        optimizer.zero_grad()
        criterion(model(torch.randn(4, 3)), torch.zeros(4, 1)).backward()
        optimizer.step()
    {ending}
"""


@pytest.mark.parametrize("ending", ["", "raise RuntimeError('boom')", "raise SystemExit(3)"])
def test_at_interpreter_exit_the_log_is_whole_without_close(tmp_path, ending):
    script = textwrap.dedent(SCRIPT).format(run_dir=str(tmp_path), ending=ending)
    subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, timeout=60)
    assert len(diagnose.load(tmp_path).scalars["loss/train"]) == 9


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


def test_a_nan_is_told_to_the_callback_between_steps(training, tmp_path):
    told = []
    with diagnose.attach(
        training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path, on_finding=told.append
    ):
        training.run(10)
        training.x[:] = torch.nan
        training.run(120)
    assert [f.id for f in told] == ["nan_loss"]
    assert told[0].window[0] == 11


def test_a_failing_callback_never_reaches_training(training, tmp_path, caplog):
    def fail(finding):
        raise RuntimeError("my own mistake")

    with diagnose.attach(
        training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path, on_finding=fail
    ):
        training.x[:] = torch.nan
        training.run(120)
    assert "on_finding is switched off: RuntimeError: my own mistake" in caplog.text


def test_halt_on_raises_between_two_steps(training, tmp_path):
    diagnose.attach(
        training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path, halt_on=["nan_loss"]
    )
    training.x[:] = torch.nan
    with pytest.raises(diagnose.TrainingHalted, match="nan_loss") as halted:
        training.run(10_000)
    assert halted.value.finding.window[0] == 1
    assert not training.model._forward_hooks
    assert diagnose.examine(tmp_path).worst is diagnose.Severity.CRITICAL


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


def test_a_disk_that_fails_costs_the_log_and_not_the_training(training, tmp_path, caplog, monkeypatch):
    from diagnose.logs.writing import EventFile

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventFile, "write_step", full)
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        assert len(training.run(200)) == 200
    assert caplog.text.count("steps are missing from the log") == 1


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


def test_a_run_dir_that_is_deleted_costs_nothing_but_the_log(training, tmp_path):
    run_dir = tmp_path / "run"
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=run_dir):
        shutil.rmtree(run_dir)
        assert len(training.run(120)) == 120


def test_a_forward_that_fails_in_the_middle_leaves_no_hook_behind(tmp_path):
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.broken = nn.Linear(4, 4), True

        def forward(self, x):
            x = self.layer(x)
            if self.broken:
                raise RuntimeError("the user's own")
            return x

    model = Fails()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with diagnose.attach(model, optimizer, run_dir=tmp_path):
        with pytest.raises(RuntimeError, match="the user's own"):
            model(torch.randn(2, 4))
        model.broken = False
        for _ in range(12):
            optimizer.zero_grad()
            model(torch.randn(6, 4)).sum().backward()
            optimizer.step()
        assert not model.layer._forward_hooks
    assert len(diagnose.load(tmp_path).scalars["grad_norm"]) == 12


@pytest.mark.parametrize("ending", ["SIGTERM", "SIGKILL"])
def test_a_process_that_is_killed_leaves_a_log_that_reads_up_to_its_last_flush_or_its_end(tmp_path, ending):
    script = textwrap.dedent(SCRIPT).format(run_dir=str(tmp_path), ending="").replace("range(9)", "iter(int, 1)")
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and sum(p.stat().st_size for p in tmp_path.iterdir()) < 20_000:
        time.sleep(0.05)
    process.send_signal(getattr(signal, ending))
    assert process.wait(20) == -getattr(signal, ending)
    run = diagnose.load(tmp_path)
    assert len(run.scalars["loss/train"]) >= 40
    assert run.closed is (ending == "SIGTERM")
    assert diagnose.examine(run) is not None


def test_the_log_tells_which_cadence_ran_when(training, tmp_path):
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        training.run(400)
    run = diagnose.load(tmp_path)
    periods = run.scalars["diagnose/cadence/activations"]
    looked = run.layer_signals["layers/activation_variance"].steps
    assert periods.steps.tolist() == looked.tolist()
    assert (np.diff(looked) == periods.values[:-1]).all()
    assert run.unmapped == ()


class BreaksBackward(nn.Module):
    """The square root of a value that becomes exactly 0 has a finite output and an infinite gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)
        self.broken = False

    def forward(self, x):
        x = self.second(self.first(x))
        return self.third(torch.sqrt((x * 0 if self.broken else x).abs()))


def test_the_first_nan_is_traced_to_the_backward_pass_and_the_layer_where_it_began(tmp_path):
    model = BreaksBackward()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    criterion = nn.MSELoss()
    with diagnose.attach(model, optimizer, criterion=criterion, run_dir=tmp_path):
        for step in range(1, 40):
            model.broken = step == 20
            optimizer.zero_grad()
            criterion(model(torch.randn(8, 4)), torch.zeros(8, 1)).backward()
            optimizer.step()
    (finding,) = [f for f in diagnose.examine(tmp_path).findings if f.id == "nan_loss"]
    assert finding.window[0] == 21
    assert (finding.evidence["origin"], finding.evidence["origin_step"], finding.layers) == (
        "backward",
        20,
        ("second",),
    )


def test_a_nan_in_the_data_is_traced_to_the_forward_pass(training, tmp_path):
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        training.run(10)
        training.x[:] = torch.nan
        training.run(10)
    (finding,) = [f for f in diagnose.examine(tmp_path).findings if f.id == "nan_loss"]
    assert (finding.evidence["origin"], finding.evidence["origin_step"], finding.layers) == ("forward", 11, ())


def test_a_programs_own_sigterm_handler_is_left_alone_and_the_default_comes_back(training, tmp_path):
    kept = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        first = diagnose.attach(training.model, training.optimizer, run_dir=tmp_path / "a")
        second = diagnose.attach(training.model, training.optimizer, run_dir=tmp_path / "b")
        first.close()
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        second.close()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path / "c"):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, kept)


def test_data_loaders_with_forked_workers_leave_the_log_alone(training, tmp_path):
    data = torch.utils.data.TensorDataset(training.x, training.y)
    loader = torch.utils.data.DataLoader(data, batch_size=32, num_workers=2, multiprocessing_context="fork")
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        for _ in range(4):
            for x, y in loader:
                training.optimizer.zero_grad()
                training.criterion(training.model(x), y).backward()
                training.optimizer.step()
    run = diagnose.load(tmp_path)
    assert run.scalars["loss/train"].steps.tolist() == list(range(1, 13))
    assert run.closed
    assert run.notes == ()
