"""PyTorch Ignite: a handler watches what an engine trains."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

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
