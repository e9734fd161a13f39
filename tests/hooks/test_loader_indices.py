"""The indices are those of the batch at hand, whatever the loader, and the loader does not notice."""

from __future__ import annotations

import gc
import time
import weakref
from itertools import chain

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from diagnose.hooks.loader_indices import LoaderTap


class Rows(Dataset):
    """Row i is the number i, so that a batch tells its own indices."""

    def __init__(self, first_is_slow: bool = False) -> None:
        self.first_is_slow = first_is_slow

    def __len__(self) -> int:
        return 23

    def __getitem__(self, row):
        if self.first_is_slow and row == 0:
            time.sleep(1.0)
        return torch.as_tensor(row)


class Endless(IterableDataset):
    def __iter__(self):
        return iter(range(8))


@pytest.fixture
def tap():
    tap = LoaderTap()
    yield tap
    tap.close()


def assert_each_batch_tells_its_indices(tap: LoaderTap, loader: DataLoader, epochs: int = 2) -> list[list[int]]:
    batches = []
    for _ in range(epochs):
        for batch in loader:
            assert tap.latest() == batch.reshape(-1).tolist()
            batches.append(batch.reshape(-1).tolist())
    assert batches
    return batches


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_indices_are_those_of_the_batch_delivered_last(tap, workers, shuffle):
    loader = DataLoader(Rows(), batch_size=3, shuffle=shuffle, num_workers=workers)
    batches = assert_each_batch_tells_its_indices(tap, loader)
    assert len(batches) == 16


@pytest.mark.parametrize("workers", [0, 2])
def test_without_batching_there_is_one_index(tap, workers):
    assert_each_batch_tells_its_indices(tap, DataLoader(Rows(), batch_size=None, num_workers=workers), epochs=1)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_sampler_of_ones_own_is_heard(tap, workers):
    batches = [[5, 1], (7, 7, 2), torch.tensor([3, 4]), np.array([9]), range(4)]
    loader = DataLoader(Rows(), batch_sampler=batches, num_workers=workers)
    assert_each_batch_tells_its_indices(tap, loader)


def test_a_dataset_that_takes_whole_batches_is_heard(tap):
    loader = DataLoader(Rows(), sampler=[[1, 2], [4, 0]], batch_size=None)
    assert assert_each_batch_tells_its_indices(tap, loader, epochs=1) == [[1, 2], [4, 0]]


def test_a_subset_tells_places_in_the_subset(tap):
    next(iter(DataLoader(Subset(Rows(), [8, 9, 10]), batch_size=2)))
    assert tap.latest() == [0, 1]


def test_workers_that_keep_no_order_are_followed(tap):
    loader = DataLoader(Rows(first_is_slow=True), batch_size=2, num_workers=2, in_order=False)
    batches = assert_each_batch_tells_its_indices(tap, loader, epochs=1)
    assert batches[0] != [0, 1]
    assert sorted(chain(*batches)) == list(range(23))


def test_a_slow_worker_that_keeps_order_is_waited_for(tap):
    loader = DataLoader(Rows(first_is_slow=True), batch_size=2, num_workers=2)
    assert assert_each_batch_tells_its_indices(tap, loader, epochs=1)[0] == [0, 1]


def test_persistent_workers_start_each_epoch_anew_also_after_a_broken_off_one(tap):
    loader = DataLoader(Rows(), batch_size=3, shuffle=True, num_workers=2, persistent_workers=True)
    for batch in loader:
        assert tap.latest() == batch.tolist()
        break
    assert_each_batch_tells_its_indices(tap, loader)


def test_of_two_loaders_in_turn_the_one_that_delivered_last_counts(tap):
    train = DataLoader(Rows(), batch_size=3, shuffle=True, num_workers=2)
    validation = DataLoader(Rows(), batch_size=2)
    for batch in train:
        assert tap.latest() == batch.tolist()
        assert_each_batch_tells_its_indices(tap, validation, epochs=1)
    first, second = iter(train), iter(train)
    for one, other in zip(first, second, strict=True):
        assert tap.latest() == other.tolist()
        assert one.shape == other.shape


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_an_iterable_dataset_has_no_indices(tap, workers, batch_size):
    next(iter(DataLoader(Rows(), batch_size=2)))
    assert tap.latest() == [0, 1]
    for _ in DataLoader(Endless(), batch_size=batch_size, num_workers=workers):
        assert tap.latest() is None


@pytest.mark.parametrize("draw", [["a", "b"], [0.5], [(1, 2)], [2**70], [None], iter([1, 2])])
def test_what_is_no_integer_is_no_index_and_reaches_the_dataset_untouched(tap, draw):
    received = []

    class Anything(Rows):
        def __getitem__(self, row):
            received.append(row)
            return 0

    expected = list(draw) if isinstance(draw, list) else [1, 2]
    next(iter(DataLoader(Anything(), batch_sampler=[draw])))
    assert tap.latest() is None
    assert received == expected


def test_batches_that_were_under_way_before_the_tap_have_no_indices():
    iterator = iter(DataLoader(Rows(), batch_size=3, num_workers=2, prefetch_factor=1))
    tap = LoaderTap()
    told = [(tap.latest(), batch.tolist()) for batch in iterator]
    tap.close()
    assert [indices for indices, _ in told[:2]] == [None, None]
    assert told[2:]
    assert all(indices == batch for indices, batch in told[2:])


def test_a_tap_that_was_closed_meanwhile_does_not_tell_old_indices():
    loader = DataLoader(Rows(), batch_size=3, shuffle=True, num_workers=2, prefetch_factor=1, persistent_workers=True)
    first = LoaderTap()
    next(iter(loader))  # broken off: the draws that follow were heard, their batches never delivered
    first.close()
    iterator = iter(loader)
    second = LoaderTap()
    told = [(second.latest(), batch.tolist()) for batch in iterator]
    second.close()
    assert [indices for indices, _ in told[:2]] == [None, None]
    assert all(indices == batch for indices, batch in told[2:])


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_and_its_random_numbers_are_the_same_with_the_tap(workers):
    def epoch() -> tuple[list[list[int]], torch.Tensor]:
        torch.manual_seed(3)
        loader = DataLoader(Rows(), batch_size=3, shuffle=True, num_workers=workers)
        return [batch.tolist() for _ in range(2) for batch in loader], torch.random.get_rng_state()

    batches, state = epoch()
    tap = LoaderTap()
    tapped_batches, tapped_state = epoch()
    tap.close()
    assert tapped_batches == batches
    assert torch.equal(tapped_state, state)


def test_neither_loader_nor_iterator_is_kept_alive(tap):
    loader = DataLoader(Rows(), batch_size=3)
    iterator = iter(loader)
    next(iterator)
    gone = [weakref.ref(loader), weakref.ref(iterator), weakref.ref(loader.dataset)]
    del loader, iterator
    gc.collect()
    assert [reference() for reference in gone] == [None] * 3
    assert tap.latest() == [0, 1, 2]


def test_torch_is_put_back_when_the_last_tap_closes():
    originals = _BaseDataLoaderIter._next_index, _BaseDataLoaderIter.__next__
    first, second = LoaderTap(), LoaderTap()
    assert _BaseDataLoaderIter.__next__ is not originals[1]
    first.close()
    first.close()
    next(iter(DataLoader(Rows(), batch_size=2)))
    assert first.latest() is None
    assert second.latest() == [0, 1]
    second.close()
    assert (_BaseDataLoaderIter._next_index, _BaseDataLoaderIter.__next__) == originals
