"""Activation variance: over samples, from a bounded sample, for every shape of output."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import diagnose
from diagnose.hooks.probes.activations import MOST_SAMPLES, MOST_UNITS, output_statistics, thinned


def unit_variance(output, channels):
    return output_statistics(output, channels)[1]


def test_it_is_the_variance_over_samples_averaged_over_units():
    output = torch.randn(50, 7, dtype=torch.float64) * torch.arange(7) + 100 * torch.arange(7)
    assert torch.isclose(unit_variance(output, 1), output.var(dim=0, correction=0).mean().float(), rtol=1e-4)


def test_units_that_differ_from_each_other_but_not_over_samples_carry_no_signal():
    assert unit_variance(torch.randn(1, 32).expand(64, 32), 1) < 1e-12


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((4096, 4096), 1), ((256, 128, 56, 56), 1), ((512, 1024, 768), 2), ((3, 5), 1), ((2, 3, 100_000), 1)],
)
def test_the_sample_is_bounded_whatever_the_batch(shape, channels):
    sample = thinned(torch.empty(shape, device="meta"), channels)
    assert sample.numel() <= 2 * MOST_SAMPLES * MOST_UNITS
    assert sample.numel() / sample.shape[channels] >= 2


def test_a_large_outputs_variance_is_estimated_well():
    output = 3 * torch.randn(2048, 512, generator=torch.Generator().manual_seed(0))
    assert abs(unit_variance(output, 1) - 9) < 0.3


def test_a_single_sample_has_no_variance():
    assert unit_variance(torch.randn(1, 5), 1).isnan()


def variances(run_dir):
    run = diagnose.load(run_dir)
    return dict(zip(run.layer_names, run.layer_signals["layers/activation_variance"].values[0], strict=True))


def test_convolutions_have_their_units_in_the_second_dimension(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2))
    outputs = {}
    for name, module in model.named_children():
        module.register_forward_hook(lambda m, i, o, name=name: outputs.__setitem__(name, o.detach()))
    with diagnose.attach(model, torch.optim.SGD(model.parameters(), lr=0.1), run_dir=tmp_path):
        model(torch.randn(2, 3, 6, 6))
    seen = variances(tmp_path)
    assert np.isclose(seen["0"], outputs["0"].var(dim=(0, 2, 3), correction=0).mean(), rtol=1e-4)
    assert abs(seen["1"] - 1) < 0.01  # what BatchNorm makes of it


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_give_a_tuple_and_are_seen(kind, tmp_path):
    model = kind(5, 6, batch_first=True)
    with diagnose.attach(model, torch.optim.SGD(model.parameters(), lr=0.1), run_dir=tmp_path):
        output, _ = model(torch.randn(4, 9, 5))
    assert np.isclose(variances(tmp_path)[kind.__name__], output.var(dim=(0, 1), correction=0).mean().item(), rtol=1e-4)


def test_recomputation_under_checkpointing_is_no_second_forward(tmp_path):
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
            self.calls = 0

        def forward(self, x):
            return checkpoint(self.inner, x, use_reentrant=False)

    model = Checkpointed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with diagnose.attach(model, optimizer, run_dir=tmp_path):
        x = torch.randn(8, 4)
        out = model(x)
        hooks_during_backward = []
        out.register_hook(lambda g: hooks_during_backward.append(len(model.inner[0]._forward_hooks)))
        expected = model.inner[0](x).var(dim=0, correction=0).mean().item()
        out.sum().backward()
        optimizer.step()
    assert hooks_during_backward == [0]
    assert np.isclose(variances(tmp_path)["inner.0"], expected, rtol=1e-4)


def test_a_module_that_runs_twice_has_the_mean_of_its_calls(tmp_path):
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(self.layer(x))

    model = Twice()
    x = torch.randn(16, 4)
    with diagnose.attach(model, torch.optim.SGD(model.parameters(), lr=0.1), run_dir=tmp_path):
        model(x)
    first = model.layer(x)
    expected = np.mean([o.var(dim=0, correction=0).mean().item() for o in (first, model.layer(first))])
    assert np.isclose(variances(tmp_path)["layer"], expected, rtol=1e-4)


def test_a_step_that_is_not_sampled_hooks_no_layer(training, tmp_path):
    counts = []
    training.model.register_forward_hook(lambda *_: counts.append(len(training.model[2]._forward_hooks)))
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path, cadence=diagnose.Cadence(activations=4)):
        inner = []
        training.model[1].register_forward_hook(lambda *_: inner.append(len(training.model[0]._forward_hooks)))
        training.run(8)
    assert [bool(n) for n in inner] == [True, False, False, False, True, False, False, False]


def test_a_layer_that_does_not_run_is_unknown_and_not_what_it_was_before(tmp_path):
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.always, self.sometimes = nn.Linear(4, 4), nn.Linear(4, 4)
            self.both = True

        def forward(self, x):
            return self.sometimes(self.always(x)) if self.both else self.always(x)

    model = Sometimes()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=diagnose.Cadence(activations=1)):
        for step in range(300):  # twice round the rings
            model.both = step % 2 == 0
            optimizer.zero_grad()
            model(torch.randn(8, 4)).sum().backward()
            optimizer.step()
    seen = diagnose.load(tmp_path).layer_signals["layers/activation_variance"].values
    assert np.isfinite(seen[:, 0]).all()
    assert np.isnan(seen[1::2, 1]).all()
    assert np.isfinite(seen[::2, 1]).all()


def signals(run_dir):
    run = diagnose.load(run_dir)
    return {n: dict(zip(run.layer_names, s.values[0], strict=True)) for n, s in run.layer_signals.items()}


class WithFunctions(nn.Module):
    """The same network as below with functions for activations."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 50), nn.Linear(50, 50), nn.Linear(50, 2)

    def forward(self, x):
        return self.c(torch.tanh(self.b(torch.relu(self.a(x)))))


@pytest.mark.parametrize("functions", [False, True])
def test_zeros_after_an_activation_are_told_whether_it_is_a_module_or_a_function(functions, tmp_path):
    torch.manual_seed(0)
    plain = WithFunctions()
    modules = nn.Sequential(plain.a, nn.ReLU(), plain.b, nn.Tanh(), plain.c)
    model = plain if functions else modules
    x = torch.randn(40, 6)
    with diagnose.attach(model, torch.optim.SGD(model.parameters(), lr=0.1), run_dir=tmp_path):
        model(x)
    zeros = list(signals(tmp_path)["layers/zero_fraction"].values())
    assert np.isclose(zeros[0], (torch.relu(plain.a(x)) == 0).float().mean(), atol=1e-6)
    assert zeros[1] == 0 and np.isnan(zeros[2])


@pytest.mark.parametrize(
    ("activation", "scale", "share"), [("Tanh", 1e3, 1), ("Tanh", 1e-3, 0), ("Sigmoid", 1e3, 1), ("Sigmoid", 1e-3, 0)]
)
def test_saturation_is_told_for_activations_with_flat_ends(activation, scale, share, tmp_path):
    model = nn.Sequential(nn.Linear(6, 50, bias=False), getattr(nn, activation)(), nn.Linear(50, 2))
    model[0].weight.data.mul_(scale)
    with diagnose.attach(model, torch.optim.SGD(model.parameters(), lr=0.1), run_dir=tmp_path):
        model(torch.randn(40, 6))
    saturated = signals(tmp_path)["layers/saturated_fraction"]
    assert abs(saturated["0"] - share) < 0.05 and np.isnan(saturated["2"])


def test_non_finite_values_are_counted_in_the_layer_that_made_them(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].bias.data[0] = torch.inf
    with diagnose.attach(model, torch.optim.SGD(model.parameters(), lr=0.1), run_dir=tmp_path):
        model(torch.randn(8, 4))
    assert list(signals(tmp_path)["layers/nonfinite"].values()) == [0, 8, 32]


def test_the_mean_is_the_mean(tmp_path):
    model = nn.Linear(4, 4)
    x = torch.randn(8, 4)
    with diagnose.attach(model, torch.optim.SGD(model.parameters(), lr=0.1), run_dir=tmp_path):
        output = model(x)
    assert np.isclose(signals(tmp_path)["layers/activation_mean"]["Linear"], output.mean().item(), rtol=1e-5)
