"""Losses that are parts of a whole: a Transformers model divides by the tokens of all micro-batches of a step."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import diagnose


class Model(nn.Module):
    """Computes its own loss: a mean, or its share of the step's where the whole's size is told."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x, num_items_in_batch=None):
        loss = self.layer(x).square().sum()
        return SimpleNamespace(loss=loss / (len(x) if num_items_in_batch is None else num_items_in_batch))


def test_parts_of_a_step_are_summed_however_many_there_are(tmp_path):
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    whole = []
    with diagnose.attach(model, optimizer, run_dir=tmp_path):
        for sizes in ((3, 5, 8), (2, 2), (7,)):
            parts = [torch.randn(size, 4) for size in sizes]
            losses = [model(part, num_items_in_batch=sum(sizes)).loss for part in parts]
            for loss in losses:
                loss.backward()
            whole.append(sum(loss.item() for loss in losses))
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            model.eval()
            told = model(parts[0], num_items_in_batch=7).loss.item()
    run = diagnose.load(tmp_path)
    assert run.scalar("loss/train").values.tolist() == pytest.approx(whole)
    assert run.scalar("loss/validation").values.tolist() == pytest.approx([told])
