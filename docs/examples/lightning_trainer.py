"""Lightning. Run: python docs/examples/lightning_trainer.py"""

from __future__ import annotations

import sys
from typing import Any

import torch
from data import batches, classifier
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

import diagnose
from diagnose.hooks.integrations.lightning import DiagnoseCallback


class Classifier(LightningModule):
    """Learns the clusters."""

    def __init__(self) -> None:
        super().__init__()
        self.net = classifier()

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """The loss of a batch."""
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """What is logged here lands in the run's log."""
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        """Plain SGD."""
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


watching = DiagnoseCallback(run_dir=sys.argv[1] if sys.argv[1:] else "runs/lightning", halt_on=["nan_loss"])
trainer = Trainer(max_epochs=5, callbacks=[watching], logger=False, enable_checkpointing=False, accelerator="cpu")
trainer.fit(Classifier(), batches(), batches())

print(diagnose.examine(watching.run_dir).to_markdown())
