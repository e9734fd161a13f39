"""PyTorch Ignite: a handler watches what an engine trains."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import diagnose


@pytest.fixture
def engines(framework, training):
    """A training and a validation engine of the tests' small classifier, their loader, and the event of a step."""
    ignite = framework("ignite.engine")
    metrics = framework("ignite.metrics")
    trainer = ignite.create_supervised_trainer(training.model, training.optimizer, training.criterion)
    validation = ignite.create_supervised_evaluator(training.model, {"val_loss": metrics.Loss(training.criterion)})
    loader = DataLoader(TensorDataset(training.x, training.y), batch_size=32)
    trainer.add_event_handler(ignite.Events.EPOCH_COMPLETED, lambda _: validation.run(loader))
    return trainer, validation, loader, ignite.Events.ITERATION_COMPLETED


def handler(training, **options):
    from diagnose.hooks.integrations.ignite import DiagnoseHandler

    return DiagnoseHandler(training.model, training.optimizer, **options)


def test_outputs_metrics_and_settings_are_in_the_log(engines, training, tmp_path):
    trainer, validation, loader, every_step = engines
    losses = []
    trainer.add_event_handler(every_step, lambda engine: losses.append(engine.state.output))
    handler(training, run_dir=tmp_path).attach(trainer, validation)
    trainer.run(loader, max_epochs=4)
    run = diagnose.load(tmp_path)
    assert run.scalar("loss/train").values.tolist() == pytest.approx(losses)
    assert run.scalar("loss/validation").steps.tolist() == [3, 6, 9, 12]
    told = {name: run.setup.config[name] for name in ("batch_size", "dataset_size", "epochs")}
    assert told == {"batch_size": 32, "dataset_size": 96, "epochs": 4}
    assert run.per_layer("layers/activation_variance") is not None
    assert run.closed


def test_a_halt_terminates_the_engine_and_says_why(engines, training, tmp_path, caplog):
    trainer, _, loader, _ = engines
    watching = handler(training, run_dir=tmp_path, halt_on=["nan_loss"])
    watching.attach(trainer)
    training.x[:] = torch.nan
    trainer.run(loader, max_epochs=10_000)
    assert trainer.state.epoch < 10_000
    assert watching.halted.finding.id == "nan_loss"
    assert "Halted by nan_loss" in caplog.text


def test_the_users_exception_reaches_the_user_and_the_log_is_whole(engines, training, tmp_path):
    trainer, _, loader, every_step = engines

    def fail(engine):
        if engine.state.iteration == 5:
            raise RuntimeError("the disk is full")

    handler(training, run_dir=tmp_path).attach(trainer)
    trainer.add_event_handler(every_step, fail)
    with pytest.raises(RuntimeError, match="the disk is full"):
        trainer.run(loader, max_epochs=4)
    assert diagnose.load(tmp_path).closed


def test_of_two_handlers_none_keeps_the_users_exception(engines, training, tmp_path):
    trainer, _, loader, every_step = engines

    def fail(_):
        raise RuntimeError("the disk is full")

    for name in ("generator", "discriminator"):
        handler(training, run_dir=tmp_path / name).attach(trainer)
    trainer.add_event_handler(every_step, fail)
    with pytest.raises(RuntimeError, match="the disk is full"):
        trainer.run(loader, max_epochs=4)
    assert all(diagnose.load(tmp_path / name).closed for name in ("generator", "discriminator"))


def test_an_average_of_the_loss_is_not_mixed_with_it(engines, framework, training, tmp_path):
    trainer, _, loader, every_step = engines
    losses = []
    trainer.add_event_handler(every_step, lambda engine: losses.append(engine.state.output))
    framework("ignite.metrics").RunningAverage(output_transform=lambda output: output).attach(trainer, "loss")
    handler(training, run_dir=tmp_path).attach(trainer)
    trainer.run(loader, max_epochs=4)
    assert diagnose.load(tmp_path).scalar("loss/train").values.tolist() == pytest.approx(losses)


def test_iterations_are_parts_of_steps_where_the_config_says_so(framework, training, tmp_path):
    trainer = framework("ignite.engine").create_supervised_trainer(
        training.model, training.optimizer, training.criterion, gradient_accumulation_steps=3
    )
    watching = handler(training, run_dir=tmp_path, config={"accumulation_steps": 3})
    watching.attach(trainer)
    loader = DataLoader(TensorDataset(training.x, training.y), batch_size=32)
    trainer.load_state_dict({"epoch": 2, "epoch_length": 3, "max_epochs": 6})
    trainer.run(loader)
    assert diagnose.load(tmp_path).scalar("loss/train").steps.tolist() == [3, 4, 5, 6]


class Endless(IterableDataset):
    """A stream whose length nobody knows."""

    def __init__(self, training):
        self._rows = list(zip(training.x, training.y, strict=True))

    def __len__(self):
        raise NotImplementedError

    def __iter__(self):
        while True:
            yield from self._rows


def test_a_stream_without_a_length_is_trained_on(engines, training, tmp_path):
    trainer, *_ = engines
    handler(training, run_dir=tmp_path).attach(trainer)
    trainer.run(DataLoader(Endless(training), batch_size=32), max_epochs=1, epoch_length=3)
    run = diagnose.load(tmp_path)
    assert len(run.scalar("loss/train")) == 3
    assert "dataset_size" not in run.setup.config


ON_RANKS = """
import sys
import torch
import torch.distributed as dist
from ignite.engine import create_supervised_trainer
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from diagnose.hooks.integrations.ignite import DiagnoseHandler

dist.init_process_group("gloo")
torch.manual_seed(0)
model = DistributedDataParallel(nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), 0.01)
trainer = create_supervised_trainer(model, optimizer, nn.CrossEntropyLoss())
watching = DiagnoseHandler(model, optimizer, run_dir=sys.argv[1], halt_on=["nan_loss"])
watching.attach(trainer)
batch = torch.full((4, 8), torch.nan), torch.zeros(4, dtype=torch.int64)
trainer.run([batch] * 100, max_epochs=10_000)
print(dist.get_rank(), trainer.state.iteration, watching.halted)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_ranks_halt_together(framework, ends_of_two_ranks):
    framework("ignite.engine")
    steps = ends_of_two_ranks(ON_RANKS)
    assert steps["0"] == steps["1"]
