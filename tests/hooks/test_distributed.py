"""Several processes: rank 0 writes, and what it writes is what all ranks agree on."""

from __future__ import annotations

import os
import socket

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

import diagnose

EVERY = diagnose.Cadence()  # “auto” looks less often where steps are as short as here

STEPS = 12


def train(rank, port, run_dir):
    """One of two ranks of a DDP training on gloo."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()
    norms = []
    with diagnose.attach(model, optimizer, criterion=criterion, run_dir=run_dir, cadence=EVERY):
        torch.manual_seed(1 + rank)
        for _ in range(STEPS):
            optimizer.zero_grad()
            criterion(model(torch.randn(16, 8)), torch.randint(0, 3, (16,))).backward()
            norms.append(float(torch.cat([p.grad.flatten() for p in model.parameters()]).norm()))
            optimizer.step()
    if rank == 0:
        np.save(f"{run_dir}/norms.npy", norms)
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_under_ddp_rank_0_writes_the_norm_of_the_averaged_gradient(tmp_path):
    mp.spawn(train, (free_port(), str(tmp_path)), nprocs=2)
    assert len(list(tmp_path.glob("*tfevents*"))) == 1
    run = diagnose.load(tmp_path)
    assert run.layer_names == ("0", "2")
    assert run.scalars["loss/train"].steps.tolist() == list(range(1, STEPS + 1))
    assert np.allclose(run.scalars["grad_norm"].values, np.load(tmp_path / "norms.npy"), rtol=1e-5)
