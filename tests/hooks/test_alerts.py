"""Live alerts: told between steps, and a halt where one was asked for."""

from __future__ import annotations

import pytest
import torch

import diagnose


def test_a_nan_is_told_to_the_callback_between_steps(training, tmp_path):
    told = []
    with diagnose.attach(
        training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path, on_finding=told.append
    ):
        training.run(10)
        training.x[:] = torch.nan
        training.run(120)
    assert [f.id for f in told] == ["nan_loss"]
    assert told[0].window[0] == 11


def test_a_failing_callback_never_reaches_training(training, tmp_path, caplog):
    def fail(finding):
        raise RuntimeError("my own mistake")

    with diagnose.attach(
        training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path, on_finding=fail
    ):
        training.x[:] = torch.nan
        training.run(120)
    assert "on_finding is switched off: RuntimeError: my own mistake" in caplog.text


def test_halt_on_raises_between_two_steps(training, tmp_path):
    diagnose.attach(
        training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path, halt_on=["nan_loss"]
    )
    training.x[:] = torch.nan
    with pytest.raises(diagnose.TrainingHalted, match="nan_loss") as halted:
        training.run(10_000)
    assert halted.value.finding.window[0] == 1
    assert not training.model._forward_hooks
    assert diagnose.examine(tmp_path).worst is diagnose.Severity.CRITICAL
