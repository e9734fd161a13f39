"""A plain training loop. Run: python docs/examples/plain.py"""

from __future__ import annotations

import sys

import torch
from data import batches, classifier
from torch import nn

import diagnose

model, criterion = classifier(), nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

monitor = diagnose.attach(model, optimizer, criterion=criterion, run_dir=sys.argv[1] if sys.argv[1:] else None)

for _ in range(10):
    for x, y in batches():
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()

monitor.close()
print(diagnose.examine(monitor.run_dir).to_markdown())
