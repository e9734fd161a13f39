"""Accelerate: a tracker watches what was prepared."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import diagnose

pytestmark = pytest.mark.slow


def train(tracker, accelerate, training, epochs=4):
    accelerator = accelerate.Accelerator(cpu=True, log_with=[tracker], gradient_accumulation_steps=2)
    loader = DataLoader(TensorDataset(training.x, training.y), batch_size=16)
    schedule = torch.optim.lr_scheduler.StepLR(training.optimizer, 3)
    model, optimizer, loader, schedule = accelerator.prepare(training.model, training.optimizer, loader, schedule)
    accelerator.init_trackers("clusters", {"epochs": epochs})
    tracker.watch(accelerator)
    losses = []
    for _ in range(epochs):
        for x, y in loader:
            with accelerator.accumulate(model):
                loss = nn.functional.cross_entropy(model(x), y)
                accelerator.backward(loss)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            losses.append(loss.item())
            accelerator.log({"train_loss": loss, "note": "text"}, step=len(losses))
        accelerator.log({"val_loss": 0.5})
    accelerator.end_training()
    return losses


@pytest.fixture
def tracker(framework):
    framework("accelerate")
    from diagnose.hooks.integrations.accelerate import DiagnoseTracker

    return DiagnoseTracker


def test_what_accelerate_prepared_and_logs_is_in_the_log(tracker, framework, training, tmp_path):
    losses = train(tracker(run_dir=tmp_path), framework("accelerate"), training)
    run = diagnose.load(tmp_path)
    pairs = [sum(losses[at : at + 2]) / 2 for at in range(0, len(losses), 2)]
    assert run.scalar("loss/train").values.tolist() == pytest.approx(pairs)
    assert run.scalar("loss/validation").steps.tolist() == [3, 6, 9, 12]
    config = run.setup.config
    assert [config[name] for name in ("batch_size", "dataset_size", "accumulation_steps", "epochs")] == [16, 96, 2, 4]
    assert run.setup.optimizer["type"] == "SGD"
    assert run.setup.scheduler["type"] == "StepLR"
    assert run.closed


def test_attach_alone_takes_what_accelerate_has_wrapped(framework, training, tmp_path):
    accelerator = framework("accelerate").Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(training.model, training.optimizer)
    with diagnose.attach(model, optimizer, criterion=training.criterion, run_dir=tmp_path):
        for _ in range(5):
            accelerator.backward(training.criterion(model(training.x), training.y))
            optimizer.step()
            optimizer.zero_grad()
    assert diagnose.load(tmp_path).scalar("lr/group0").steps.tolist() == [1, 2, 3, 4, 5]


class TellsItsLoss(nn.Module):
    """A model whose output has a loss, as those of Transformers do."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, y):
        return SimpleNamespace(loss=nn.functional.cross_entropy(self.net(x), y))


def test_an_average_over_an_epoch_is_not_mixed_with_a_loss_that_is_seen(tracker, framework, training, tmp_path):
    watching = tracker(run_dir=tmp_path)
    accelerator = framework("accelerate").Accelerator(cpu=True, log_with=[watching])
    loader = DataLoader(TensorDataset(training.x, training.y), batch_size=32)
    model, optimizer, loader = accelerator.prepare(TellsItsLoss(training.model), training.optimizer, loader)
    accelerator.init_trackers("clusters")
    watching.watch(accelerator)
    losses = []
    for epoch in range(3):
        for x, y in loader:
            loss = model(x, y).loss
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        accelerator.log({"train_loss": sum(losses) / len(losses)}, step=epoch)
    accelerator.end_training()
    assert diagnose.load(tmp_path).scalar("loss/train").values.tolist() == pytest.approx(losses)


def test_to_watch_before_anything_is_prepared_is_refused(tracker, framework):
    watching = tracker()
    with pytest.raises(diagnose.InvalidArgumentError, match="no model is prepared"):
        watching.watch(framework("accelerate").Accelerator(cpu=True, log_with=[watching]))


ON_RANKS = """
import sys
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from diagnose import TrainingHalted
from diagnose.hooks.integrations.accelerate import DiagnoseTracker

tracker = DiagnoseTracker(run_dir=sys.argv[1], halt_on=["nan_loss"])
accelerator = Accelerator(cpu=True, log_with=[tracker])
torch.manual_seed(0)
model = nn.Linear(8, 3)
loader = DataLoader(TensorDataset(torch.randn(96, 8), torch.randint(0, 3, (96,))), batch_size=16)
optimizer = torch.optim.SGD(model.parameters(), 0.01)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
accelerator.init_trackers("clusters")
tracker.watch(accelerator)
step = 0
try:
    for epoch in range(10_000):
        for x, y in loader:
            step += 1
            loss = nn.functional.cross_entropy(model(x * torch.nan if step >= 40 else x), y)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            accelerator.log({"train_loss": loss})
except TrainingHalted as halted:
    print(accelerator.process_index, step, halted)
accelerator.wait_for_everyone()
accelerator.end_training()
"""


def test_ranks_halt_together(framework, ends_of_two_ranks, monkeypatch):
    framework("accelerate")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    steps = ends_of_two_ranks(ON_RANKS)
    assert steps["0"] == steps["1"]
