"""Clipping, precision, architecture and the record."""

from __future__ import annotations

import pytest
import torch
from torch import nn


@pytest.fixture
def lstm():
    """A recurrent model and its optimizer."""
    model = nn.LSTM(4, 4)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


@pytest.fixture
def sequences():
    return torch.randn(5, 8, 4)


def test_recurrent_networks_want_clipping(attached, breaks, lstm, sequences):
    rule = "recurrent_without_clipping"
    assert breaks(rule, attached(*lstm, steps=30, inputs=sequences)).confidence < 0.9
    assert breaks(rule, attached(*lstm, config={"max_grad_norm": None})).confidence == 0.9
    assert breaks(rule, attached(*lstm)) is None, "nothing tells yet"
    assert breaks(rule, attached(*lstm, steps=30, inputs=sequences, config={"grad_clip": 1.0})) is None


def test_clipping_by_torch_is_heard(attached, breaks, lstm, sequences):
    model, optimizer = lstm
    optimizer.register_step_pre_hook(lambda *_: torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0) and None)
    assert breaks("recurrent_without_clipping", attached(model, optimizer, steps=30, inputs=sequences)) is None


def test_networks_without_recurrence_do_not_need_it(attached, breaks, mlp):
    model = mlp()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    run = attached(model, sgd, steps=30, inputs=torch.randn(8, 32), config={"max_norm": 0})
    assert breaks("recurrent_without_clipping", run) is None


@pytest.mark.parametrize(("kind", "broken"), [(torch.float16, True), (torch.bfloat16, False), (None, False)])
def test_half_precision_wants_a_scaled_loss(attached, breaks, mlp, kind, broken):
    model = mlp()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.autocast("cpu", dtype=kind or torch.bfloat16, enabled=kind is not None):
        run = attached(model, sgd, steps=2, inputs=torch.randn(8, 32))
    assert (breaks("half_precision_without_loss_scaling", run) is not None) == broken


@pytest.mark.parametrize(("enabled", "broken"), [(True, False), (False, True)])
def test_a_scaler_that_is_switched_off_is_none(attached, breaks, mlp, enabled, broken):
    model = mlp()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.autocast("cpu", dtype=torch.float16):
        scaler = torch.amp.GradScaler("cpu", enabled=enabled)
        run = attached(model, sgd, steps=2, inputs=torch.randn(8, 32), scaler=scaler)
    assert (breaks("half_precision_without_loss_scaling", run) is not None) == broken


def test_weights_belong_in_single_precision(attached, breaks, mlp):
    assert breaks("half_precision_weights", attached(mlp().half()))
    assert breaks("half_precision_weights", attached(mlp().bfloat16())) is None
    assert breaks("half_precision_weights", attached(mlp())) is None
    adapted = nn.Sequential(mlp().half().requires_grad_(requires_grad=False), nn.Linear(32, 4))
    assert breaks("half_precision_weights", attached(adapted)) is None, "what is trained is single"


@pytest.mark.parametrize(
    ("depth", "config", "broken"),
    [
        (6, {"task": "tabular regression", "dataset_size": 500}, True),
        (4, {"task": "tabular regression", "dataset_size": 500}, False),
        (6, {"task": "tabular regression", "dataset_size": 1_000_000}, False),
        (6, {"task": "tabular regression"}, False),
        (6, {"dataset_size": 500}, False),
    ],
)
def test_small_tables_start_shallow(attached, breaks, depth, config, broken):
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(depth)))
    assert (breaks("deep_net_for_small_table", attached(model, config=config)) is not None) == broken


@pytest.mark.parametrize(
    ("config", "broken"),
    [
        ({"task": "image classification", "dataset_size": 500, "pretrained": False}, True),
        ({"task": "image classification", "dataset_size": 500, "pretrained": True}, False),
        ({"task": "image classification", "dataset_size": 500}, False),
        ({"task": "tabular", "dataset_size": 500, "pretrained": False}, False),
    ],
)
def test_few_images_want_a_pretrained_model(attached, breaks, mlp, config, broken):
    assert (breaks("few_samples_without_pretraining", attached(mlp(), config=config)) is not None) == broken


def test_what_a_repetition_needs_is_asked_for(attached, breaks, mlp, told):
    missing = breaks("incomplete_record", attached(mlp(), config={"batch_size": 32, "epochs": 3}))
    assert missing.evidence["missing"] == "dataset_size, dataset_version, seed"
    whole = {"batch_size": 1, "epochs": 1, "dataset_size": 1, "dataset_version": "1", "seed": 0}
    assert breaks("incomplete_record", attached(mlp(), config=whole)) is None
    assert breaks("incomplete_record", told(config={"lr": 0.1})) is None, "another tool's log"
