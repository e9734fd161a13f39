"""Compiled models: no graph break and no recompilation of ours, and the same losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import _dynamo as dynamo

import diagnose

EVERY = diagnose.Cadence()  # “auto” looks less often where steps are as short as here


@pytest.fixture(autouse=True)
def fresh_dynamo():
    dynamo.reset()
    dynamo.utils.counters.clear()
    yield
    dynamo.reset()


def compiled_losses(training, run_dir, attached, steps=25):
    """Losses of a compiled training, with the monitor attached before or after compiling, or not at all."""
    monitor, settings = None, {"criterion": training.criterion, "run_dir": run_dir, "cadence": EVERY}
    if attached == "before":
        monitor = diagnose.attach(training.model, training.optimizer, **settings)
    if attached == "in place":
        training.model.compile(backend="aot_eager")
    else:
        training.model = torch.compile(training.model, backend="aot_eager")
    if attached in {"after", "in place"}:
        monitor = diagnose.attach(training.model, training.optimizer, **settings)
    losses = training.run(steps)
    if monitor is not None:
        monitor.close()
    return losses


@pytest.mark.parametrize("attached", ["before", "after", "in place"])
def test_a_compiled_model_is_watched_without_touching_its_graph(new_training, tmp_path, attached):
    expected = compiled_losses(new_training(), tmp_path, "never")
    plain = dict(dynamo.utils.counters["stats"])
    dynamo.reset()
    dynamo.utils.counters.clear()
    assert compiled_losses(new_training(), tmp_path, attached) == expected
    assert dict(dynamo.utils.counters["stats"]) == plain
    assert not dynamo.utils.counters["graph_break"]
    run = diagnose.load(tmp_path)
    assert np.allclose(run.scalars["loss/train"].values, expected, rtol=1e-6)
    for name in ("loss/train", "grad_norm", "lr/group0"):
        assert run.scalars[name].steps.tolist() == list(range(1, 26))
    assert run.layer_names == ("0", "2", "4")


def test_the_noise_scale_needs_a_batch_size_where_no_forward_is_seen(new_training, tmp_path):
    training = new_training()
    monitor = diagnose.attach(
        training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path, cadence=EVERY
    )
    training.model = torch.compile(training.model, backend="aot_eager")
    training.run(3)
    monitor.close()
    assert "noise_scale" not in diagnose.load(tmp_path).scalars
