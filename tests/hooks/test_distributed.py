"""Several processes under DDP: rank 0 writes what all ranks agree on, another rank only what broke on it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

import diagnose

EVERY = diagnose.Cadence()  # “auto” looks less often where steps are as short as here

STEPS = 12
BROKEN_STEP = 7


def train(rank, port, run_dir, broken_step):
    """One of two ranks of a DDP training on gloo; at `broken_step` the batch of rank 1 holds a NaN."""
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()
    norms, losses = [], []
    with diagnose.attach(model, optimizer, criterion=criterion, run_dir=run_dir, cadence=EVERY):
        torch.manual_seed(1 + rank)
        for step in range(1, STEPS + 1):
            x = torch.randn(16, 8)
            if rank == 1 and step == broken_step:
                x[3, 5] = torch.nan
            optimizer.zero_grad()
            loss = criterion(model(x), torch.randint(0, 3, (16,)))
            loss.backward()
            norms.append(float(torch.cat([p.grad.flatten() for p in model.parameters()]).norm()))
            losses.append(loss.item())
            optimizer.step()
    np.save(f"{run_dir}/norms{rank}.npy", norms)
    np.save(f"{run_dir}/losses{rank}.npy", losses)
    dist.destroy_process_group()


def test_under_ddp_rank_0_alone_writes_the_norm_of_the_averaged_gradient(tmp_path, on_ranks):
    on_ranks(2, train, str(tmp_path), None)
    assert len(list(tmp_path.glob("*tfevents*"))) == 1
    run = diagnose.load(tmp_path)
    assert run.layer_names == ("0", "2")
    assert run.setup.environment["data_parallel_ranks"] == 2
    assert run.scalars["loss/train"].steps.tolist() == list(range(1, STEPS + 1))
    assert np.allclose(run.scalars["grad_norm"].values, np.load(tmp_path / "norms0.npy"), rtol=1e-5)
    assert not [name for name in run.scalars if "rank" in name]


@pytest.mark.slow  # two processes more
def test_a_rank_whose_loss_breaks_first_is_named_in_the_log(tmp_path, on_ranks):
    on_ranks(2, train, str(tmp_path), BROKEN_STEP)
    assert [path.suffix for path in sorted(tmp_path.glob("*tfevents*"))].count(".rank1") == 1
    run = diagnose.load(tmp_path)
    ours, theirs = run.scalars["loss/train"], run.scalars["loss/rank1"]
    assert theirs.steps.tolist() == list(range(1, BROKEN_STEP + 1))
    assert np.isfinite(theirs.values).tolist() == [True] * (BROKEN_STEP - 1) + [False]
    assert np.allclose(theirs.values, np.load(tmp_path / "losses1.npy")[:BROKEN_STEP], equal_nan=True)
    # Rank 0 was sound until the average reached it, and its record is as complete as without the other's.
    assert int(ours.steps[~np.isfinite(ours.values)][0]) == BROKEN_STEP + 1
    assert ours.steps.tolist() == list(range(1, STEPS + 1))
    assert run.scalars["diagnose/closed"].steps.tolist() == [STEPS]
    assert run.layer_names == ("0", "2")
    assert run.setup.environment["data_parallel_ranks"] == 2
    assert not run.notes
    assert not math.isnan(run.scalars["grad_norm"].values[0])
    (finding,) = [f for f in diagnose.examine(run).findings if f.id == "nan_loss"]
    assert (finding.evidence["first_ranks"], finding.evidence["origin_step"]) == ("1", BROKEN_STEP)


def train_to_the_halt(rank, port, run_dir):
    """One of two ranks whose training is halted, and which then meet: a rank that went on would be waited for."""
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    model = nn.parallel.DistributedDataParallel(nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()
    step = 0
    try:
        diagnose.attach(model, optimizer, criterion=criterion, run_dir=run_dir, halt_on=["nan_loss"])
        for step in range(1, 100_000):
            optimizer.zero_grad()
            x = torch.randn(16, 8) if step < BROKEN_STEP else torch.full((16, 8), torch.nan)
            criterion(model(x), torch.randint(0, 3, (16,))).backward()
            optimizer.step()
    except diagnose.TrainingHalted as halted:
        dist.barrier()
        (Path(run_dir) / f"rank{rank}").write_text(f"{step} {halted}")
    dist.destroy_process_group()


@pytest.mark.slow  # two processes more
def test_ranks_halt_together(tmp_path, on_ranks):
    on_ranks(2, train_to_the_halt, str(tmp_path))
    told = [(tmp_path / f"rank{rank}").read_text().partition(" ") for rank in (0, 1)]
    assert told[0][0] == told[1][0]
    assert all(f"Halted by nan_loss: NaN loss at steps {BROKEN_STEP}" in reason for _, _, reason in told)
    assert diagnose.load(tmp_path).ending.by == "TrainingHalted"
