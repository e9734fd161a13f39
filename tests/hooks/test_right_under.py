"""Whatever way people train: the same result bit for bit with every probe at work, and the right norms."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.checkpoint import checkpoint

import diagnose

EVERYTHING = diagnose.Cadence(gradients=1, activations=1, updates=1, noise=1, curvature=2)
STEPS = 14


class Net(nn.Module):
    """Embedding, recurrence, normalisation and dropout; gives a dict, checkpoints its head."""

    def __init__(self, recurrent: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.recurrent = recurrent(6, 8, batch_first=True)
        self.norm, self.dropout = nn.BatchNorm1d(8), nn.Dropout(0.3)
        self.hidden, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, tokens):
        states, _ = self.recurrent(self.embedding(tokens))
        state = self.dropout(self.norm(states[:, -1]))
        hidden = checkpoint(lambda s: torch.relu(self.hidden(s)), state, use_reentrant=False)
        return {"logits": self.head(hidden), "state": state}


class Style:
    """One way to train, plain unless a subclass says otherwise."""

    optimizer: Any = staticmethod(lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9))
    autocast: Any = staticmethod(contextlib.nullcontext)
    recurrent: Any = nn.LSTM
    micro_batches = 1

    def before_forward(self, optimizer):
        optimizer.zero_grad()

    def after_forward(self, optimizer):
        pass

    def before_step(self, model):
        pass

    def after_step(self, optimizer):
        pass


class Foreach(Style):
    optimizer = staticmethod(lambda parameters: torch.optim.AdamW(parameters, lr=0.01, foreach=True))


class Fused(Style):
    optimizer = staticmethod(lambda parameters: torch.optim.Adam(parameters, lr=0.01, fused=True))


class ZeroedAfterForward(Style):
    def before_forward(self, optimizer):
        pass

    def after_forward(self, optimizer):
        optimizer.zero_grad()


class ZeroedAfterTheStep(Style):
    def before_forward(self, optimizer):
        pass

    def after_step(self, optimizer):
        optimizer.zero_grad(set_to_none=False)


class ClippedByNorm(Style):
    def before_step(self, model):
        clip_grad_norm_(model.parameters(), 0.05)


class ClippedByValue(Style):
    def before_step(self, model):
        clip_grad_value_(model.parameters(), 0.001)


class Accumulated(Style):
    micro_batches = 3


class BFloat16(Style):
    autocast = staticmethod(lambda: torch.autocast("cpu", torch.bfloat16))
    recurrent = nn.GRU  # not every CPU has an LSTM in bfloat16: oneDNN has no such primitive there


class Float16(Style):
    autocast = staticmethod(lambda: torch.autocast("cpu", torch.float16))
    recurrent = nn.GRU  # torch has no LSTM in half precision on the CPU


def train(style, watched, run_dir):
    """Returns losses, weights, buffers, generator state, and the norms that the optimizer saw, in float64."""
    torch.manual_seed(0)
    model, criterion = Net(style.recurrent), nn.CrossEntropyLoss()
    optimizer = style.optimizer(model.parameters())
    losses, norms = [], []

    def note(optimizer, *_):
        norms.append(float(torch.cat([p.grad.double().flatten() for p in model.parameters()]).norm()))

    optimizer.register_step_pre_hook(note)
    attached = (
        diagnose.attach(model, optimizer, criterion=criterion, run_dir=run_dir, cadence=EVERYTHING)
        if watched
        else contextlib.nullcontext()
    )
    with attached:
        for _ in range(STEPS):
            style.before_forward(optimizer)
            for _ in range(style.micro_batches):
                tokens, classes = torch.randint(11, (12, 5)), torch.randint(3, (12,))
                with style.autocast():
                    loss = criterion(model(tokens)["logits"], classes)
                style.after_forward(optimizer)
                loss.backward()
                losses.append(loss.item())
            style.before_step(model)
            optimizer.step()
            style.after_step(optimizer)
    return losses, [*model.state_dict().values(), torch.get_rng_state()], norms


@pytest.mark.parametrize("style", Style.__subclasses__(), ids=lambda style: style.__name__)
def test_the_training_is_the_same_bit_for_bit_and_its_norms_are_right(style, tmp_path, caplog):
    losses, state, norms = train(style(), False, tmp_path)
    seen_losses, seen_state, _ = train(style(), True, tmp_path)
    assert seen_losses == losses
    assert all(map(torch.equal, seen_state, state))
    assert not caplog.records
    run = diagnose.load(tmp_path)
    assert run.scalars["grad_norm"].values == pytest.approx(norms, rel=1e-5)
    assert run.scalars["loss/train"].values == pytest.approx(
        np.reshape(losses, (STEPS, style.micro_batches)).mean(axis=1), rel=1e-5
    )
    assert run.layer_names == ("embedding", "recurrent", "norm", "hidden", "head")
    assert {"sharpness", "hessian_trace", "noise_scale", "update_ratio"} <= set(run.scalars)
    assert np.isfinite(run.scalars["sharpness"].values).all()
    assert run.layer_signals["layers/activation_variance"].steps.tolist() == list(range(1, STEPS + 1))


def test_a_compiled_optimizer_is_followed_or_left_alone_but_never_changed(new_training, tmp_path):
    def losses(training):
        step = torch.compile(training.optimizer.step, backend="eager")
        found = []
        for _ in range(8):
            training.optimizer.zero_grad()
            loss = training.loss()
            loss.backward()
            step()
            found.append(loss.item())
        return found

    expected = losses(new_training())
    torch._dynamo.reset()
    training = new_training()
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        assert losses(training) == expected
    torch._dynamo.reset()
    assert "loss/train" in diagnose.load(tmp_path).scalars
