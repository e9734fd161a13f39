"""Findings as they come, to a webhook or a logger. Run: WEBHOOK_URL=… python docs/examples/alerts.py"""

from __future__ import annotations

import logging
import os
import sys

import torch
from data import batches, classifier
from torch import nn

import diagnose
from diagnose.hooks.receivers import LogRecords, Webhook

logging.basicConfig(level=logging.INFO)
url = os.environ.get("WEBHOOK_URL")
receiver = Webhook(url, about="clusters") if url else LogRecords("training")

model, criterion = classifier(), nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=60.0)  # far too high: there is something to tell
run_dir = sys.argv[1] if sys.argv[1:] else None
diagnose.attach(
    model, optimizer, criterion=criterion, run_dir=run_dir, on_finding=receiver, halt_on=["nan_loss", "divergence"]
)
try:
    for _ in range(100):
        for x, y in batches():
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
except diagnose.TrainingHalted as halted:
    print(halted)
