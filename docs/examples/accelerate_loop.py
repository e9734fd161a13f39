"""Accelerate. Run: python docs/examples/accelerate_loop.py

On two ranks of the CPU: ACCELERATE_USE_CPU=true torchrun --nproc-per-node 2 docs/examples/accelerate_loop.py
"""

from __future__ import annotations

import sys

import torch
from accelerate import Accelerator
from data import batches, classifier
from torch import nn

import diagnose
from diagnose.hooks.integrations.accelerate import DiagnoseTracker

tracker = DiagnoseTracker(run_dir=sys.argv[1] if sys.argv[1:] else "runs/accelerate")
accelerator = Accelerator(cpu=True, log_with=[tracker])
model, loader = classifier(), batches()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
accelerator.init_trackers("clusters", config={"epochs": 5})
tracker.watch(accelerator)

for _ in range(5):
    for x, y in loader:
        loss = nn.functional.cross_entropy(model(x), y)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        accelerator.log({"train_loss": loss})

accelerator.end_training()
if accelerator.is_main_process and tracker.monitor is not None:
    print(diagnose.examine(tracker.monitor.run_dir).to_markdown())
