"""Mixed precision: true norms under a gradient scaler, its scale, and the steps it skips."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import diagnose

EVERY = diagnose.Cadence()  # “auto” looks less often where steps are as short as here


def scaled_training(training, scaler, run_dir, steps, *, unscale=False, broken=()):
    """Losses of `steps` scaled steps; the gradients of the steps in `broken` are infinite."""
    losses = []
    with diagnose.attach(
        training.model, training.optimizer, scaler=scaler, criterion=training.criterion, run_dir=run_dir, cadence=EVERY
    ):
        for step in range(1, steps + 1):
            training.optimizer.zero_grad()
            loss = training.loss()
            scaler.scale(loss).backward()
            if step in broken:
                training.model[0].weight.grad[0, 0] = torch.inf
            if unscale:
                scaler.unscale_(training.optimizer)
            scaler.step(training.optimizer)
            scaler.update()
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("unscale", [False, True])
def test_gradient_norms_are_those_without_the_scale(new_training, tmp_path, fused, unscale):
    plain, scaled = new_training(), new_training()
    for training in (plain, scaled):
        training.optimizer = torch.optim.SGD(training.model.parameters(), lr=0.05, fused=fused)
    with diagnose.attach(plain.model, plain.optimizer, run_dir=tmp_path / "plain", cadence=EVERY):
        for _ in range(8):
            plain.optimizer.zero_grad()
            plain.loss().backward()
            plain.optimizer.step()
    scaled_training(scaled, torch.amp.GradScaler("cpu", init_scale=1024.0), tmp_path / "scaled", 8, unscale=unscale)
    expected, seen = (diagnose.load(tmp_path / name).scalars["grad_norm"].values for name in ("plain", "scaled"))
    assert np.allclose(seen, expected, rtol=1e-4)


@pytest.mark.parametrize("fused", [False, True])
def test_skipped_steps_are_steps_and_are_counted(training, tmp_path, fused):
    training.optimizer = torch.optim.SGD(training.model.parameters(), lr=0.05, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    losses = scaled_training(training, scaler, tmp_path, 10, broken=(4, 7))
    run = diagnose.load(tmp_path)
    assert np.allclose(run.scalars["loss/train"].values, losses, rtol=1e-6)
    assert run.scalars["skipped_steps"].values.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert run.scalars["loss_scale"].values.tolist() == [1024] * 4 + [512] * 3 + [256] * 3
    assert [not np.isfinite(v) for v in run.scalars["grad_norm"].values] == [s in (4, 7) for s in range(1, 11)]


def test_steps_that_scaling_skips_make_no_run_ill(training, tmp_path):
    scaled_training(training, torch.amp.GradScaler("cpu", init_scale=1024.0), tmp_path, 60, broken=(1, 2, 30))
    assert diagnose.examine(tmp_path).healthy


def test_a_watched_scaler_is_saved_copied_and_left_as_it_was(training, tmp_path):
    own = torch.amp.GradScaler.step
    scaler = torch.amp.GradScaler("cpu")
    with diagnose.attach(training.model, training.optimizer, scaler=scaler, run_dir=tmp_path):
        torch.save({"scaler": scaler}, tmp_path / "scaler.pt")
        assert copy.deepcopy(scaler).get_scale() == scaler.get_scale()
        assert not vars(scaler).keys() ^ vars(torch.amp.GradScaler("cpu")).keys()
    assert torch.amp.GradScaler.step is own


def test_a_scaler_that_two_monitors_watch_is_still_watched_when_one_closes(new_training, tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    one, other = new_training(), new_training()
    monitors = [
        diagnose.attach(t.model, t.optimizer, scaler=scaler, run_dir=tmp_path / name, cadence=EVERY)
        for t, name in ((one, "one"), (other, "other"))
    ]
    monitors[0].close()
    for _ in range(2):
        other.optimizer.zero_grad()
        scaler.scale(other.loss()).backward()
        other.model[0].weight.grad[0, 0] = torch.inf
        scaler.step(other.optimizer)
        scaler.update()
    monitors[1].close()
    assert diagnose.load(tmp_path / "other").scalars["skipped_steps"].values.tolist() == [1, 2]


def test_what_fails_on_a_skipped_step_stays_with_us(training, tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("our own mistake")

    monkeypatch.setattr("diagnose.hooks.course.Course.before_step", fail)
    scaled_training(training, torch.amp.GradScaler("cpu"), tmp_path, 3, broken=(1, 2))
    assert "our own mistake" in caplog.text


def test_a_scaler_that_is_switched_off_changes_nothing(training, tmp_path):
    scaled_training(training, torch.amp.GradScaler("cpu", enabled=False), tmp_path, 5)
    assert len(diagnose.load(tmp_path).scalars["loss/train"]) == 5
