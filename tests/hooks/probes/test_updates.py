"""Parameter norms and update ratios, against the parameters themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import diagnose
from diagnose.hooks.probes.sampling import MOST_VALUES, FlatSample


def flat(module: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().double().flatten() for p in module.parameters()])


def watched_step(model, optimizer, loss, run_dir) -> tuple[diagnose.Run, dict[str, float], dict[str, float]]:
    layers = {n: m for n, m in model.named_modules() if list(m.parameters(recurse=False))}
    before = {name: flat(layer) for name, layer in layers.items()}
    whole = flat(model)
    with diagnose.attach(model, optimizer, run_dir=run_dir):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    ratios = {name: float((flat(layer) - before[name]).norm() / before[name].norm()) for name, layer in layers.items()}
    norms = {name: float(flat(layer).norm()) for name, layer in layers.items()}
    ratios["whole"], norms["whole"] = float((flat(model) - whole).norm() / whole.norm()), float(flat(model).norm())
    return diagnose.load(run_dir), ratios, norms


def test_a_small_models_norms_and_ratios_are_exact(training, tmp_path):
    run, ratios, norms = watched_step(training.model, training.optimizer, training.loss, tmp_path)
    assert run.scalars["update_ratio"].values[0] == pytest.approx(ratios.pop("whole"), rel=1e-4)
    assert run.scalars["param_norm"].values[0] == pytest.approx(norms.pop("whole"), rel=1e-5)
    assert np.allclose(run.layer_signals["layers/update_ratio"].values[0], list(ratios.values()), rtol=1e-4)
    assert np.allclose(run.layer_signals["layers/param_norm"].values[0], list(norms.values()), rtol=1e-5)


def test_a_large_models_ratios_are_right_to_a_few_per_cent_from_a_bounded_sample(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(8, 256, 5), nn.ReLU(), nn.Flatten(), nn.Linear(256 * 16, 100))
    model[0].to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    run, ratios, norms = watched_step(
        model, optimizer, lambda: model(torch.randn(4, 8, 8, 8)).square().mean(), tmp_path
    )
    assert run.scalars["update_ratio"].values[0] == pytest.approx(ratios.pop("whole"), rel=0.05)
    assert np.allclose(run.layer_signals["layers/update_ratio"].values[0], list(ratios.values()), rtol=0.05)
    assert run.scalars["param_norm"].values[0] == pytest.approx(norms["whole"], rel=1e-5)


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "channels_last", "every second"])
def test_a_sample_sees_a_tensor_in_whichever_order_it_lies(layout):
    tensor = torch.randn(16, 8, 20, 20)
    if layout == "transposed":
        tensor = tensor.transpose(0, 1)
    elif layout == "channels_last":
        tensor = tensor.to(memory_format=torch.channels_last)
    elif layout == "every second":
        tensor = tensor[::2]
    sample = FlatSample([tensor, tensor[:1, :1, :1, :3]])
    values = sample.take([tensor, tensor[:1, :1, :1, :3]])
    assert 3 < len(values) <= MOST_VALUES + 3
    assert torch.isin(values, tensor).all()
    assert sample.shares * [len(values) - 3, 3] == pytest.approx([tensor.numel(), 3])
    assert torch.equal(values[-3:], tensor[0, 0, 0, :3])
    assert torch.stack(sample.norms(values)) == pytest.approx(torch.stack([values[:-3].norm(), values[-3:].norm()]))


def test_a_step_that_moves_nothing_has_ratio_zero(training, tmp_path):
    training.optimizer.param_groups[0]["lr"] = 0.0
    with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path):
        training.run(1)
    assert diagnose.load(tmp_path).scalars["update_ratio"].values[0] == 0
