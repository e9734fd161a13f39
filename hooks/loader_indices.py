"""Which rows of its dataset the batch held that a DataLoader delivered last."""

from __future__ import annotations

import weakref
from array import array
from typing import Any

import numpy as np
import torch
from torch.utils.data.dataloader import _BaseDataLoaderIter

from diagnose.hooks.tapping import Functions, Listeners, Tapped


class LoaderTap:
    """Listens to all of torch's DataLoaders: what indices they draw, and which of these a batch was made of.

    Loaders that bring iterators of their own are not heard. The batch delivered last is not always the batch
    at hand: a loop that reads one batch ahead of its forward pass is one ahead here too.
    """

    def __init__(self) -> None:
        self._latest: list[int] | None = None
        _LOADERS.add(self)

    def latest(self) -> list[int] | None:
        """Indices into `loader.dataset` of the batch delivered last.

        None before the first batch, where the dataset is iterable, where the sampler does not draw integers,
        and for batches that workers were already at when the tap was opened.
        """
        return self._latest

    def hear(self, indices: list[int] | None) -> None:
        """A loader has delivered a batch made of these indices."""
        self._latest = indices

    def close(self) -> None:
        """Listen no longer; safe to call twice."""
        _LOADERS.discard(self)


def _heard(originals: Functions, taps: Listeners[LoaderTap]) -> Functions:
    next_index, next_batch = originals["_next_index"], originals["__next__"]
    # Workers are given indices long before their batch is delivered, so each draw is kept under the number
    # of its task, by iterator. Without workers there is one task at a time, number 0.
    drawn: weakref.WeakKeyDictionary[_BaseDataLoaderIter, dict[int, list[int] | None]] = weakref.WeakKeyDictionary()

    def draw(iterator: _BaseDataLoaderIter) -> Any:
        index = next_index(iterator)
        drawn.setdefault(iterator, {})[getattr(iterator, "_send_idx", 0)] = _integers(index)
        return index

    def deliver(iterator: _BaseDataLoaderIter) -> Any:
        waiting = _tasks(iterator)
        batch = next_batch(iterator)
        # Workers that keep no order deliver any of their tasks: it is the one that waits no longer.
        done = waiting - _tasks(iterator) if hasattr(iterator, "_task_info") else {0}
        tasks = drawn.get(iterator, {})
        delivered = [tasks.pop(task, None) for task in done]
        for tap in taps:
            tap.hear(delivered[0] if len(delivered) == 1 else None)
        return batch

    return {"_next_index": draw, "__next__": deliver}


_LOADERS: Tapped[LoaderTap] = Tapped(_BaseDataLoaderIter, ("_next_index", "__next__"), _heard)


def _tasks(iterator: _BaseDataLoaderIter) -> set[int]:
    """The numbers of the tasks that are with the workers or wait to be delivered."""
    return set(getattr(iterator, "_task_info", ()))


def _integers(index: Any) -> list[int] | None:
    """A sampler's draw as a list of integers, copied; None where it is none. It never uses up an iterator."""
    if isinstance(index, torch.Tensor):
        index = index.tolist() if index.device.type == "cpu" else None
    elif isinstance(index, np.ndarray):
        index = index.tolist()
    drawn = list(index) if isinstance(index, list | tuple | range) else [index]
    try:
        return array("q", drawn).tolist()  # refuses, at the speed of C, what is no 64-bit integer
    except (TypeError, OverflowError):
        return None
