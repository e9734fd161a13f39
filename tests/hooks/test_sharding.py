"""Sharded models: what rank 0 logs is what the whole model would have logged, and no rank waits for another."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import diagnose

STEPS = 11
BATCH = 16
MOST = 0.3  # of the gradient norm: most steps are clipped
BROKEN_STEP = 3


def model_of(seed=0):
    """Parts that two ranks cannot share evenly, one that leaves a rank with nothing, and a frozen one."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 17), nn.Tanh(), nn.Linear(17, 1), nn.Linear(1, 3), nn.Linear(3, 3))
    return model.requires_grad_(True)


def frozen(model):
    model[4].requires_grad_(False)
    return model


def batches():
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        yield torch.randn(BATCH, 8, generator=generator), torch.randint(0, 3, (BATCH,), generator=generator)


def shard(model, mesh, plain=()):
    for layer in model:
        if next(layer.parameters(), None) is not None:
            fully_shard(layer, mesh=mesh, ignored_params=set(plain))
    return fully_shard(model, mesh=mesh, ignored_params=set(plain))


def group(rank, port, ranks):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=ranks)
    torch.set_num_threads(1)


def train(rank, port, run_dir, dims):
    """Data-parallel training over a mesh of one dimension, or of two: copies of shards."""
    ranks = int(np.prod(dims))
    group(rank, port, ranks)
    mesh = init_device_mesh("cpu", dims, mesh_dim_names=("copies", "shards")[-len(dims) :])
    model = frozen(model_of())
    shard(model, mesh, plain=[model[4].bias])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    with diagnose.attach(model, optimizer, criterion=criterion, run_dir=run_dir):
        for x, y in batches():
            mine = slice(rank * BATCH // ranks, (rank + 1) * BATCH // ranks)
            optimizer.zero_grad()
            criterion(model(x[mine]), y[mine]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), MOST)
            time.sleep(0.002 * rank)  # ranks that measured their own costs would fall out of step
            optimizer.step()
    dist.destroy_process_group()


def chain(lists):
    return list(itertools.chain.from_iterable(lists))


def norm(tensors):
    return float(torch.cat([t.detach().flatten() for t in tensors if t is not None]).norm()) if tensors else 0.0


def reference():
    """The same training of the whole model, in float64: signal -> values by step, layers along the last axis."""
    model = frozen(model_of()).double()
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rows = []
    for x, y in batches():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x.double()), y).backward()
        unclipped = nn.utils.clip_grad_norm_(model.parameters(), MOST)
        gradients = [[p.grad for p in layer.parameters() if p.grad is not None] for layer in layers]
        before = [[p.detach().clone() for p in layer.parameters()] for layer in layers]
        optimizer.step()
        after = [list(layer.parameters()) for layer in layers]
        moved = [[a - b for a, b in zip(*pair, strict=True)] for pair in zip(after, before, strict=True)]
        total = norm(chain(gradients))
        rows.append(
            {
                "grad_norm": total,
                "fisher_trace": total**2,
                "grad_norm_unclipped": float(unclipped),
                "param_norm": norm(chain(after)),
                "update_ratio": norm(chain(moved)) / norm(chain(before)),
                "layers/grad_norm": [norm(g) for g in gradients],
                "layers/param_norm": [norm(p) for p in after],
                "layers/update_ratio": [norm(m) / norm(b) for m, b in zip(moved, before, strict=True)],
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.slow  # two processes and more
@pytest.mark.parametrize(
    "dims",
    [
        pytest.param((2,), id="shards"),
        pytest.param((2, 1), id="copies alone"),
        pytest.param((2, 2), id="copies of shards"),
    ],
)
def test_a_sharded_model_has_the_norms_of_the_whole_one(tmp_path, on_ranks, dims):
    on_ranks(int(np.prod(dims)), train, str(tmp_path), dims)
    run = diagnose.load(tmp_path)
    steps = {**run.scalars, **run.layer_signals}
    for name, expected in reference().items():
        seen = np.arange(1, STEPS + 1) if "grad" in name or name == "fisher_trace" else np.array([1, STEPS])
        assert steps[name].steps.tolist() == seen.tolist(), name
        assert np.allclose(steps[name].values, expected[seen - 1], rtol=1e-4), name
    assert "noise_scale" not in run.scalars
    assert np.isfinite(run.layer_signals["layers/activation_variance"].values).all()
    assert [layer.type for layer in run.setup.layers] == ["Linear"] * 4
    assert run.setup.layers[0].init["fan_in"] == 8
    assert run.setup.environment["data_parallel_ranks"] == np.prod(dims)
    assert run.setup.model["parameters"] == sum(p.numel() for p in model_of().parameters())


def train_watched_by_one(rank, port, run_dir):
    group(rank, port, 2)
    model = shard(model_of(), init_device_mesh("cpu", (2,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()
    monitor = diagnose.attach(model, optimizer, criterion=criterion, run_dir=run_dir) if rank == 0 else None
    for x, y in batches():
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()
    if monitor is not None:
        monitor.close()
    dist.destroy_process_group()


@pytest.mark.slow  # two processes more
def test_attached_on_rank_0_alone_a_sharded_training_goes_on_without_norms(tmp_path, on_ranks):
    on_ranks(2, train_watched_by_one, str(tmp_path))
    run = diagnose.load(tmp_path)
    assert len(run.scalars["loss/train"].steps) == STEPS
    assert not {"grad_norm", "param_norm", "update_ratio"} & set(run.scalars)


def train_until_one_breaks(rank, port, run_dir):
    group(rank, port, 2)
    model = shard(model_of(), init_device_mesh("cpu", (2,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()
    with diagnose.attach(model, optimizer, criterion=criterion, run_dir=run_dir, cadence=diagnose.Cadence(gradients=5)):
        for step, (x, y) in enumerate(batches(), 1):
            optimizer.zero_grad()
            broken = x.clone().fill_(torch.nan) if rank == 1 and step == BROKEN_STEP else x
            criterion(model(broken), y).backward()
            optimizer.step()
    dist.destroy_process_group()


@pytest.mark.slow  # two processes more
def test_a_rank_that_breaks_between_two_looks_does_not_look_alone(tmp_path, on_ranks):
    on_ranks(2, train_until_one_breaks, str(tmp_path))
    run = diagnose.load(tmp_path)
    assert run.scalars["loss/rank1"].steps.tolist() == [1, 2, BROKEN_STEP]
    assert run.scalars["grad_norm"].steps.tolist() == [1, 6, 11]
