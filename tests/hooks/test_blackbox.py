"""Where numbers first stopped being finite."""

from __future__ import annotations

import torch
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


def test_the_first_nan_is_traced_to_the_backward_pass_and_the_layer_where_it_began(tmp_path):
    model = BreaksBackward()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    criterion = nn.MSELoss()
    with diagnose.attach(model, optimizer, criterion=criterion, run_dir=tmp_path, cadence=diagnose.Cadence()):
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
        for step in range(1, 151):
            x, y = torch.randn(32, 8), torch.randint(3, (32,))
            optimizer.zero_grad()
            criterion(model(x * (100 if 103 <= step < 115 else 1)), y).backward()
            optimizer.step()
    run = diagnose.load(tmp_path)
    looked = set(run.layer_signals["layers/activation_variance"].steps.tolist())
    assert set(range(107, 115)) <= looked  # “auto” reads the gradients of such short steps one time in four
    assert len(looked) < 40
    periods = run.scalars["diagnose/cadence/activations"]
    assert periods.values[periods.steps == 108].tolist() == [1]


def test_a_nan_in_the_data_is_traced_to_the_forward_pass(training, tmp_path):
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        training.run(10)
        training.x[:] = torch.nan
        training.run(10)
    (finding,) = [f for f in diagnose.examine(tmp_path).findings if f.id == "nan_loss"]
    assert (finding.evidence["origin"], finding.evidence["origin_step"], finding.layers) == ("forward", 11, ())
