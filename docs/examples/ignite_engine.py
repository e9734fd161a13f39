"""PyTorch Ignite. Run: python docs/examples/ignite_engine.py"""

from __future__ import annotations

import sys

import torch
from data import batches, classifier
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.metrics import Loss
from torch import nn

import diagnose
from diagnose.hooks.integrations.ignite import DiagnoseHandler

model, criterion, loader = classifier(), nn.CrossEntropyLoss(), batches()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
trainer = create_supervised_trainer(model, optimizer, criterion)
validation = create_supervised_evaluator(model, {"val_loss": Loss(criterion)})
trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: validation.run(loader))

watching = DiagnoseHandler(model, optimizer, run_dir=sys.argv[1] if sys.argv[1:] else "runs/ignite")
watching.attach(trainer, validation)
trainer.run(loader, max_epochs=5)

if watching.monitor is not None:
    print(diagnose.examine(watching.monitor.run_dir).to_markdown())
