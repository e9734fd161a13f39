"""Experiments on one of several ranks: what would wait for the others is refused, and put back."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.testing._internal.distributed.fake_pg import FakeStore

import diagnose


@pytest.fixture
def one_of_two_ranks():
    """Torch's own stand-in for a second rank: it never answers, and nobody waits for it."""
    dist.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    yield
    dist.destroy_process_group()


class AddsUp(nn.Linear):
    """Asks the other ranks in its forward pass, as a synchronised BatchNorm does."""

    def forward(self, x):
        total = super().forward(x)
        dist.all_reduce(total)
        return total


@pytest.mark.usefixtures("one_of_two_ranks")
def test_what_would_wait_for_other_ranks_is_refused_and_put_back(plain, everything):
    model, optimizer, criterion, loader = plain()
    with pytest.raises(diagnose.InvalidArgumentError, match=r"would wait for other ranks; pass its `\.module`"):
        diagnose.lr_range_test(nn.parallel.DistributedDataParallel(model), optimizer, criterion, loader)
    asking = AddsUp(64, 10)
    optimizer = torch.optim.SGD(asking.parameters(), lr=0.1)
    before = everything(asking, optimizer, loader)
    for experiment in (
        lambda: diagnose.lr_range_test(asking, optimizer, criterion, loader),
        lambda: diagnose.loss_landscape(asking, criterion, loader),
        lambda: diagnose.temperature_scaling(asking, loader),
    ):
        with pytest.raises(diagnose.InvalidArgumentError, match=r"cannot be run by itself: .* communicate"):
            experiment()
        assert everything(asking, optimizer, loader) == before


@pytest.mark.usefixtures("one_of_two_ranks")
def test_a_model_of_one_rank_is_tested_on_it_alone(plain):
    found = diagnose.lr_range_test(*plain(), lowest=1e-4, highest=1.0, steps=40)
    assert found.suggestion
