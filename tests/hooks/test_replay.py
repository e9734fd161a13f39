"""What runs once more beside the training changes nothing of it and sends nothing to other ranks."""

from __future__ import annotations

import random
from collections import deque

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
from torch import nn
from torch.utils.checkpoint import checkpoint

import diagnose
from diagnose.hooks.collectives import UnavailableError, no_collectives

EVERY = diagnose.Cadence(curvature=1)
NEVER = diagnose.Cadence(curvature=0)
BLIND = diagnose.Cadence(curvature=0, gradients=0)  # nothing tells of a break then, nor traces it


class Linear(nn.Module):
    """What the others add their state to."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, x):
        return self.linear(x)


class OwnGenerators(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.torchs, self.others = torch.Generator().manual_seed(0), [np.random.default_rng(0), random.Random(0)]

    def forward(self, x):
        shift = sum(float(generator.random()) for generator in self.others)
        return super().forward(x + shift + torch.randn(x.shape, generator=self.torchs))


class Attributes(Linear):
    """Carries numbers, tensors and collections from one call to the next, some of them changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.mean, self.array = 0, torch.zeros(8), np.zeros(8, dtype=np.float32)
        self.past, self.seen, self.state = deque([0.0], maxlen=3), {0}, {"mean": torch.zeros(8)}
        self.pair = (torch.zeros(8), "name")

    def forward(self, x):
        self.calls += 1
        self.seen.add(self.calls)
        for mean in (self.mean, self.state["mean"], self.pair[0]):
            mean.mul_(0.9).add_(x.detach().mean(0))
        self.array += 0.1
        self.past.append(float(self.past[-1]) + 0.1)
        self.state[self.calls] = self.calls
        shift = self.mean + self.state["mean"] + self.pair[0] + torch.from_numpy(self.array).clone()
        return super().forward(x + shift + self.past[0] + 0.1 * (len(self.seen) + len(self.state)))


class MomentumEncoder(Linear):
    """Moves frozen weights in its forward pass, and hides a module in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.slow, self.hidden = nn.Linear(8, 4).requires_grad_(False), [nn.BatchNorm1d(4)]

    def forward(self, x):
        for slow, fast in zip(self.slow.parameters(), self.linear.parameters(), strict=True):
            slow.data.mul_(0.9).add_(fast.data * 0.1)
        return super().forward(x) * self.hidden[0](self.slow(x)) + self.hidden[0].running_mean


class BoundedEmbedding(Linear):
    """Writes into its own trained weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8, max_norm=1.0)

    def forward(self, x):
        return super().forward(self.embedding((x.abs() * 20).long().clamp(max=49)).mean(1))


class Checkpointed(Linear):
    """Runs its normalisation again in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8, momentum=0.3)

    def forward(self, x):
        return super().forward(checkpoint(self.norm, x, use_reentrant=False) + self.norm.running_var)


class WritesIntoTheBatch(Linear):
    def forward(self, x):
        return super().forward(x.mul_(1.01))


class Centred(nn.Module):
    """A criterion with a running centre, as DINO's."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(4))

    def forward(self, output, y):
        loss = nn.functional.cross_entropy(output - self.centre, y)
        self.centre.mul_(0.9).add_(0.1 * output.detach().mean(0))
        return loss


STATEFUL = [OwnGenerators, Attributes, MomentumEncoder, BoundedEmbedding, Checkpointed, WritesIntoTheBatch]


def train(make_model, cadence, run_dir, criterion):
    """The weights and buffers after 20 steps, and the batch; what the log holds."""
    torch.manual_seed(0)
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = torch.randn(64, 8), torch.randint(4, (64,))
    with diagnose.attach(model, optimizer, criterion=criterion, run_dir=run_dir, cadence=cadence):
        for step in range(20):
            rows = slice(16 * (step % 4), 16 * (step % 4) + 16)
            optimizer.zero_grad()
            criterion(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return [*model.state_dict().values(), *criterion.state_dict().values(), x], diagnose.load(run_dir).scalars


@pytest.mark.parametrize(
    ("model", "criterion"), [(model, nn.CrossEntropyLoss) for model in STATEFUL] + [(Linear, Centred)]
)
def test_curvature_leaves_the_state_of_model_criterion_and_batch_alone(model, criterion, tmp_path):
    plain, scalars = train(model, NEVER, tmp_path / "without", criterion())
    seen, scalars_seen = train(model, EVERY, tmp_path / "with", criterion())
    assert "sharpness" in scalars_seen and "sharpness" not in scalars
    assert all(map(torch.equal, plain, seen))


def break_once(make_model, cadence, run_dir):
    """The weights of a training that skips the step whose gradients break; what the log holds."""
    torch.manual_seed(0)
    model, criterion = make_model(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, y = torch.randn(16, 8), torch.randint(4, (16,))
    with diagnose.attach(model, optimizer, run_dir=run_dir, cadence=cadence):
        for step in range(20):
            optimizer.zero_grad()
            (criterion(model(x), y) * (torch.inf if step == 12 else 1.0)).backward()
            if step != 12:
                optimizer.step()
                continue
            weights = [p.detach().clone() for p in model.parameters()]
            optimizer.step()
            with torch.no_grad():
                for parameter, weight in zip(model.parameters(), weights, strict=True):
                    parameter.copy_(weight)
    return [*model.state_dict().values(), x], diagnose.load(run_dir).scalars


@pytest.mark.parametrize("model", STATEFUL)
def test_the_black_box_leaves_the_state_of_model_and_batch_alone(model, tmp_path):
    plain, scalars = break_once(model, BLIND, tmp_path / "without")
    seen, scalars_seen = break_once(model, diagnose.Cadence(curvature=0), tmp_path / "with")
    assert "nonfinite_inputs" in scalars_seen and "nonfinite_inputs" not in scalars
    assert all(torch.isfinite(values).all() for values in plain)
    assert all(map(torch.equal, plain, seen))


class Communicates(Linear):
    """Averages over the ranks in its forward pass, as synchronised batch normalisation does."""

    def forward(self, x):
        mean = x.detach().mean(0)
        dist.all_reduce(mean)
        return super().forward(x - mean / dist.get_world_size())


def train_on_ranks(rank, port, run_dir):
    """Rank 0 alone is watched and looks back at every step; at one of them its numbers break."""
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    sums = []
    for cadence in (None, EVERY):
        torch.manual_seed(0)
        model, criterion = nn.parallel.DistributedDataParallel(Communicates()), nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        torch.manual_seed(1 + rank)
        if cadence is not None and rank == 0:
            diagnose.attach(model, optimizer, criterion=criterion, run_dir=run_dir, cadence=cadence)
        for step in range(30):
            x = torch.randn(16, 8)
            optimizer.zero_grad()
            criterion(model(x), torch.randint(4, (16,))).backward()
            if step == 25:
                for parameter in model.parameters():
                    parameter.grad[0] = torch.inf
            optimizer.step()
            if step == 20:
                sums.append([p.detach().clone() for p in model.parameters()])
    assert all(map(torch.equal, *sums))
    dist.destroy_process_group()


@pytest.mark.slow  # two processes more
def test_a_model_that_communicates_trains_on_where_one_rank_would_look_back(tmp_path, on_ranks, capfd):
    on_ranks(2, train_on_ranks, str(tmp_path))
    told = capfd.readouterr().err
    assert told.count("curvature is switched off: UnavailableError: run once more, the model would communicate") == 1
    assert told.count("black box is switched off: UnavailableError: run once more, the model would communicate") == 1
    assert "loss/train" in diagnose.load(tmp_path).scalars


class SumsInBackward(torch.autograd.Function):
    @staticmethod
    def forward(_, x):
        return 2 * x

    @staticmethod
    def backward(_, gradient):
        dist.all_reduce(gradient)
        return gradient


def swallowed():
    try:
        dist.barrier()
    except UnavailableError:
        return


def batched():
    with dist.distributed_c10d._coalescing_manager(device=None):
        dist.broadcast(torch.ones(2), 0)


def backward():
    weights = torch.ones(2, requires_grad=True)
    torch.autograd.grad(SumsInBackward.apply(weights).sum(), weights, create_graph=True)


def try_to_communicate(rank, port):
    """Rank 0 alone tries; what it launched would not match what both launch afterwards."""
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    x, both = torch.ones(2), [torch.ones(2), torch.ones(2)]
    if rank == 0:
        for attempt in (
            lambda: dist.all_reduce(x),
            lambda: dist.all_gather(both, x),
            lambda: dist.all_gather_object([None, None], "anything"),
            lambda: dist.broadcast(x, 0),
            lambda: dist.send(x, 1),
            lambda: functional.all_reduce(x, "sum", dist.group.WORLD),
            dist.barrier,
            swallowed,
            batched,
            backward,
        ):
            with pytest.raises(UnavailableError, match="communicate"), no_collectives():
                attempt()
    total = torch.full((3,), 1.0 + rank)
    dist.all_reduce(total)
    assert total.tolist() == [3.0] * 3
    dist.destroy_process_group()


def test_whatever_would_communicate_is_refused_before_it_is_launched(on_ranks):
    on_ranks(2, try_to_communicate)
