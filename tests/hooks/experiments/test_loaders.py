"""Loaders and batches of every make: what is handed out, what is put back, and what is gone."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset

import diagnose
from diagnose.hooks.experiments.batches import Supply, on_device


def test_persistent_workers_go_on_in_the_middle_of_their_epoch(digits, plain):
    model, optimizer, criterion, _ = plain()
    loader = DataLoader(digits, batch_size=64, num_workers=1, persistent_workers=True, shuffle=False)
    batches = iter(loader)
    next(batches)
    diagnose.lr_range_test(model, optimizer, criterion, loader, steps=13)
    assert torch.equal(next(batches)[1], digits.tensors[1][64:128])


class OwnLoss(nn.Module):
    """As Transformers' models are: keywords in, an output with a loss out."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, pixels, labels=None):
        logits = self.linear(pixels)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SimpleNamespace(logits=logits, loss=loss)


def test_batches_may_be_tuples_or_mappings_and_the_step_the_users_own(digits):
    torch.manual_seed(0)
    model = OwnLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tuples = DataLoader(digits, batch_size=64)
    mappings = [{"pixels": x, "labels": y} for x, y in tuples]
    criterion = nn.CrossEntropyLoss()
    curves = [
        diagnose.lr_range_test(model, optimizer, criterion, mappings, steps=25).losses,
        diagnose.lr_range_test(model, optimizer, None, mappings, steps=25).losses,
        diagnose.lr_range_test(
            model, optimizer, None, tuples, steps=25, step=lambda model, batch: model(*batch).loss
        ).losses,
    ]  # fmt: skip
    assert all(np.array_equal(curves[0], other) for other in curves[1:])


def test_a_batch_that_does_not_tell_its_targets_is_refused(workshop, digits):
    with pytest.raises(diagnose.InvalidArgumentError, match="does not tell inputs from targets"):
        diagnose.lr_range_test(workshop.model, workshop.optimizer, workshop.criterion, [digits.tensors[0][:8]])
    with pytest.raises(diagnose.InvalidArgumentError, match="has no loss: pass criterion"):
        diagnose.lr_range_test(workshop.model, workshop.optimizer, None, [digits.tensors[0][:8]])


def test_a_loader_without_a_length_goes_round_and_one_that_is_used_up_says_so(workshop, digits):
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([(digits[number]) for number in range(96)])

    pieces = DataLoader(Stream(), batch_size=32)
    told = (workshop.model, workshop.optimizer, workshop.criterion)
    found = diagnose.lr_range_test(*told, pieces, steps=20, lowest=1e-5, highest=1e-2)
    assert len(found.losses) == 20 and "20 batches" in found.notes[0] and "iterable" in found.notes[0]
    found = diagnose.lr_range_test(*told, (batch for batch in list(workshop.loader)[:15]), steps=20, highest=1e-2)
    assert len(found.losses) == 15 and "no more batches" in found.stopped and "15 batches are gone" in found.notes[0]
    with pytest.raises(diagnose.InvalidArgumentError, match="loader with batches"):
        diagnose.lr_range_test(*told, [])
    assert diagnose.lr_range_test(*told, workshop.loader, steps=13).notes == ()


def test_a_loader_that_is_used_up_leaves_no_closer_look_but_the_first(digits, plain):
    model, optimizer, criterion, loader = plain()
    told = {"lowest": 1e-4, "highest": 1.0, "steps": 50, "zoom": True}
    found = diagnose.lr_range_test(model, optimizer, criterion, iter(loader), **told)
    assert found.closer is not None
    found = diagnose.lr_range_test(model, optimizer, criterion, itertools.islice(loader, 50), **told)
    assert found.suggestion and found.closer is None
    assert "no closer look" in found.notes[0] and "50 batches are gone" in found.notes[1]


class Noisy(Dataset):
    """Draws from a generator of its own."""

    def __init__(self, data):
        self.data, self.noise = data, np.random.default_rng(3)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, place):
        x, y = self.data[place]
        return x + float(self.noise.normal()), y


class Shuffling:
    """Shuffles its order in place, each time it is iterated."""

    def __init__(self, data):
        self.data, self.order, self.again = data, np.arange(len(data)), torch.arange(len(data))

    def __iter__(self):
        np.random.shuffle(self.order)  # noqa: NPY002
        self.again.copy_(self.again[torch.randperm(len(self.again))])
        for rows in np.split(self.order[:640], 10):
            yield self.data[rows]


class Around:
    """Another loader's batches, as a prefetching loader hands them out."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        yield from self.loader


def test_generators_of_datasets_within_datasets_and_orders_come_back(digits, plain):
    model, optimizer, criterion, _ = plain()
    noisy = Noisy(digits), Noisy(digits)
    whole = DataLoader(ConcatDataset([Subset(noisy[0], range(300)), noisy[1]]), 64, shuffle=True)
    shuffling = Shuffling(digits)
    states = [one.noise.bit_generator.state for one in noisy]
    for loader in (whole, Around(whole), shuffling):
        diagnose.lr_range_test(model, optimizer, criterion, loader, steps=13)
    assert [one.noise.bit_generator.state for one in noisy] == states
    assert (shuffling.order == np.arange(len(digits))).all()
    assert torch.equal(shuffling.again, torch.arange(len(digits)))


class Added(nn.Module):
    """Wants its inputs as one pair."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, pair):
        return self.linear(pair[0] + pair[1])


def test_a_list_with_a_tensor_in_it_is_one_batch(digits):
    x, y = digits[:64]
    told = {"points": 3, "distance": 0.5}
    pair = diagnose.loss_landscape(Added(), nn.CrossEntropyLoss(), [[x, x], y], **told)  # as torch collates ((x, x), y)
    assert pair.loss > 0
    model = nn.Linear(64, 10)
    two = [diagnose.loss_landscape(model, nn.CrossEntropyLoss(), data, **told).loss for data in ([x, y], [(x, y)])]
    assert two[0] == two[1]


def test_a_batch_that_moves_itself_is_moved_by_itself_and_stays_as_it_was():
    packed = nn.utils.rnn.pack_sequence([torch.randn(n, 3) for n in (4, 2, 1)])
    moved = on_device({"texts": packed, "labels": torch.zeros(3)}, torch.device("meta"))
    assert moved["texts"].data.is_meta and moved["labels"].is_meta
    assert moved["texts"].batch_sizes.device.type == "cpu" and not packed.data.is_meta, "lengths belong on the CPU"


def test_batches_of_a_model_without_tensors_stay_where_they_are():
    (batch,) = Supply([torch.zeros(2, device="meta")], nn.ReLU()).once()
    assert batch.is_meta
