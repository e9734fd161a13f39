"""Where numbers first stopped being finite."""

from __future__ import annotations

import weakref

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import diagnose


class BreaksBackward(nn.Module):
    """The square root of a value that becomes exactly 0 has a finite output and an infinite gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)
        self.broken = False

    def forward(self, x):
        x = self.second(self.first(x))
        return self.third(torch.sqrt((x * 0 if self.broken else x).abs()))


def origin_in(run_dir):
    """The place, step and layers that the diagnosis of a run's NaN names."""
    (finding,) = [f for f in diagnose.examine(run_dir).findings if f.id == "nan_loss"]
    return finding.evidence["origin"], finding.evidence["origin_step"], finding.layers


@pytest.mark.parametrize("cadence", ["auto", diagnose.Cadence()], ids=["auto", "every step"])
@pytest.mark.parametrize("broken_step", [20, 21, 22, 23])
def test_the_first_nan_is_traced_to_the_backward_pass_and_the_layer_where_it_began(tmp_path, cadence, broken_step):
    model = BreaksBackward()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    criterion = nn.MSELoss()
    with diagnose.attach(model, optimizer, criterion=criterion, run_dir=tmp_path, cadence=cadence):
        for step in range(1, 40):
            model.broken = step == broken_step
            optimizer.zero_grad()
            criterion(model(torch.randn(8, 4)), torch.zeros(8, 1)).backward()
            optimizer.step()
    assert origin_in(tmp_path) == ("backward", broken_step, ("second",))


def test_finite_gradients_and_broken_weights_are_the_optimizers_doing(training, tmp_path):
    optimizer = torch.optim.Adam(training.model.parameters(), eps=0.0)  # 0 / 0 where a gradient is exactly 0
    training.optimizer = optimizer
    with diagnose.attach(
        training.model, optimizer, criterion=training.criterion, run_dir=tmp_path, cadence=diagnose.Cadence()
    ):
        training.run(5)
        training.x[:, 0] = 0
        optimizer.state.clear()
        training.run(5)
    assert origin_in(tmp_path) == ("update", 6, ("0",))


def test_which_of_several_losses_broke_first_is_told(training, tmp_path):
    told = []
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path, on_finding=told.append) as monitor:
        for step in range(1, 21):
            part = training.criterion(training.model(training.x), training.y)
            penalty = torch.tensor(0.1 if step < 13 else torch.nan)
            training.optimizer.zero_grad()
            (part + penalty).backward()
            monitor.log(loss=part + penalty, part_loss=part, penalty_loss=penalty)
            training.optimizer.step()
    for finding in (*told, *diagnose.examine(tmp_path).findings[:1]):
        assert finding.id == "nan_loss" and finding.evidence["first_losses"] == "penalty_loss"
    assert len(told) == 1


class BreaksForward(nn.Module):
    """A logarithm between two layers, of a number that is negative in a single sample."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.second, self.third = nn.Linear(4, 4), nn.Linear(4, 1)
        self.shift = 1e3

    def forward(self, x):
        x = self.norm(self.first(x))
        shift = torch.full((len(x), 1), 1e3)
        shift[-1] = self.shift
        return self.third(self.second(torch.log(x + shift)))


def broken_at(step_number, model, run_dir, inputs=lambda step: torch.randn(8, 4), **settings):
    """Train 30 steps; `model` breaks at `step_number`. Returns what its log holds."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    criterion = nn.MSELoss()
    with diagnose.attach(model, optimizer, criterion=criterion, run_dir=run_dir, **settings):
        for step in range(1, 31):
            if step == step_number:
                model.shift = -1e3
            optimizer.zero_grad()
            criterion(model(inputs(step)), torch.zeros(8, 1)).backward()
            optimizer.step()
    return diagnose.load(run_dir)


def test_the_first_broken_forward_pass_is_told_layer_by_layer_to_the_last_value(tmp_path):
    run = broken_at(17, BreaksForward(), tmp_path, cadence=diagnose.Cadence(activations=100))
    series = run.layer_signals["layers/nonfinite"]
    assert series.steps.tolist() == [1, 17]
    assert run.layer_names == ("first", "norm", "second", "third")
    assert series.values[1].tolist() == [0, 0, 4, 1]
    assert run.scalars["nonfinite_inputs"].steps.tolist() == [17]
    assert run.scalars["nonfinite_inputs"].values.tolist() == [0]


def test_a_broken_batch_is_told_from_a_broken_model(tmp_path):
    def inputs(step):
        batch = torch.randn(8, 4)
        if step == 11:
            batch[3, 2] = torch.nan
        return batch

    run = broken_at(0, BreaksForward(), tmp_path, inputs)
    assert run.scalars["nonfinite_inputs"].steps.tolist() == [11]
    assert run.scalars["nonfinite_inputs"].values.tolist() == [1]


def test_looking_for_the_origin_changes_neither_buffers_nor_generators(tmp_path):
    def train(cadence, name):
        torch.manual_seed(0)
        model = BreaksForward()
        broken_at(12, model, tmp_path / name, cadence=cadence)
        return model.norm.running_mean, torch.get_rng_state()

    mean, state = train(diagnose.Cadence(gradients=0), "without")  # without gradients nothing tells of the break
    seen_mean, seen_state = train(diagnose.Cadence(), "with")
    assert "nonfinite_inputs" in diagnose.load(tmp_path / "with").scalars
    assert "nonfinite_inputs" not in diagnose.load(tmp_path / "without").scalars
    assert torch.equal(mean.nan_to_num(7.0), seen_mean.nan_to_num(7.0))
    assert torch.equal(state, seen_state)


def test_trouble_that_begins_is_on_record_step_by_step(tmp_path):
    torch.manual_seed(0)
    model, criterion = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with diagnose.attach(model, optimizer, criterion=criterion, run_dir=tmp_path):
        for step in range(1, 381):
            x, y = torch.randn(32, 8), torch.randint(3, (32,))
            optimizer.zero_grad()
            criterion(model(x * (100 if 303 <= step < 330 else 1)), y).backward()
            optimizer.step()
    run = diagnose.load(tmp_path)
    looked = set(run.layer_signals["layers/activation_variance"].steps.tolist())
    # “auto” reads the gradients of such short steps one time in ten, and then zooms in for ten.
    first = min(step for step in looked if {step, step + 1} <= looked)
    assert 304 <= first <= 313 and set(range(first, first + 9)) <= looked
    assert len(looked) < 60
    periods = run.scalars["diagnose/cadence/activations"]
    assert periods.values[periods.steps == first].tolist() == [1]


def test_a_nan_in_the_data_is_traced_to_the_inputs(training, tmp_path):
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        training.run(10)
        training.x[:] = torch.nan
        training.run(10)
    assert origin_in(tmp_path) == ("inputs", 11, ())


def test_the_batch_that_provoked_the_nan_is_kept_with_its_rows(new_training, tmp_path):
    training = new_training()
    training.x[61, 3] = torch.nan
    data = torch.utils.data.TensorDataset(training.x, training.y)
    loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(3))
    drawn = []
    with diagnose.attach(
        training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path, keep_batch=True
    ):
        for _ in range(2):
            for x, y in loader:
                drawn.append(x)
                training.optimizer.zero_grad()
                training.criterion(training.model(x), y).backward()
                training.optimizer.step()
    step = 1 + next(number for number, x in enumerate(drawn) if x.isnan().any())
    (file,) = tmp_path.glob("*.safetensors")
    assert file.name == f"nonfinite-batch-step{step}.safetensors"
    kept = load_file(file)
    assert torch.equal(kept["args.0"].nan_to_num(7.0), drawn[step - 1].nan_to_num(7.0))
    assert 61 in kept["indices"]
    assert torch.equal(training.x[kept["indices"]].nan_to_num(7.0), kept["args.0"].nan_to_num(7.0))


def test_a_sound_run_keeps_no_batch_and_no_input_alive(training, tmp_path):
    with diagnose.attach(
        training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path, keep_batch=True
    ):
        x = training.x[:32].clone()
        alive = weakref.ref(x)
        training.optimizer.zero_grad()
        training.criterion(training.model(x), training.y[:32]).backward()
        training.optimizer.step()
        del x
        training.run(2)
        assert alive() is None
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_model_that_cannot_be_run_again_still_has_its_inputs_looked_at(training, tmp_path):
    training.model.register_forward_hook(lambda *_: None)  # somebody else's, who might count
    training.x[:, 1] = torch.nan
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        training.run(3)
    assert origin_in(tmp_path) == ("inputs", 1, ())
    assert "layers/nonfinite_weights" not in diagnose.load(tmp_path).layer_signals
