"""DDP and FSDP2. Run: torchrun --nproc-per-node 2 docs/examples/distributed.py runs/ddp [--fsdp]

All ranks attach, to the same folder; rank 0 writes.
"""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist
from data import classifier, clusters
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler

import diagnose

dist.init_process_group("gloo")  # "nccl" on GPUs
model, criterion = classifier(), nn.CrossEntropyLoss()
model = fully_shard(model) if "--fsdp" in sys.argv else DistributedDataParallel(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
data = clusters()
loader = DataLoader(data, batch_size=16, sampler=DistributedSampler(data))

config = {"batch_size": 16, "epochs": 5, "dataset_size": len(data)}  # the batch of one rank
monitor = diagnose.attach(model, optimizer, criterion=criterion, run_dir=sys.argv[1], config=config)

for _ in range(5):
    for x, y in loader:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()

monitor.close()
if dist.get_rank() == 0:
    print(diagnose.examine(sys.argv[1]).to_markdown())
dist.destroy_process_group()
