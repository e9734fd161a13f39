"""Batches for an experiment: handed out again and again, on the model's device, and counted where they are gone."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from diagnose.errors import InvalidArgumentError
from diagnose.hooks.layers import device_of, unwrapped


class Supply:
    """Batches of a loader, from its beginning and round again; `taken` counts them.

    A loader without a length is iterated like any other. One that hands out each batch once (an iterator, a
    generator) ends when it is empty, and `notes` says what it will not hand out again.
    """

    def __init__(self, loader: Iterable[Any], model: nn.Module) -> None:
        if not hasattr(loader, "__iter__"):
            raise InvalidArgumentError(f"loader={loader!r:.80}: expected something that can be iterated over batches.")
        self.taken = 0
        self._loader = loader
        inner = unwrapped(model)
        # A model without tensors runs wherever its batches are.
        self._device = device_of(inner) if any(True for _ in (*inner.parameters(), *inner.buffers())) else None
        self._once = isinstance(loader, Iterator)

    def batches(self) -> Iterator[Any]:
        """Batches without end, as long as there are any."""
        while True:
            before = self.taken
            yield from self.once()
            if self._once or self.taken == before:
                return

    def once(self) -> Iterator[Any]:
        """Each batch of one pass."""
        for batch in self._loader:
            self.taken += 1
            yield batch if self._device is None else on_device(batch, self._device)

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence where batches are gone, or may be."""
        if self._once and self.taken:
            return (f"The loader hands out each batch once: {self.taken} batches are gone from it.",)
        if isinstance(getattr(self._loader, "dataset", None), IterableDataset):
            return (f"{self.taken} batches were taken from an iterable dataset: gone, if it keeps its own place.",)
        return ()


def on_device(batch: Any, device: torch.device) -> Any:
    """The batch with its tensors on the device; mappings keep their keys and named tuples their names.

    What knows how to move itself (a packed sequence, the batch of a tokenizer or a graph library) does so.
    """
    if isinstance(batch, Tensor):
        # Only on the way to a GPU: what comes from there would be read before it has arrived.
        return batch.to(device, non_blocking=device.type == "cuda")
    if callable(getattr(batch, "to", None)):
        return copy.copy(batch).to(device)  # some move themselves in place
    if isinstance(batch, Mapping):
        return {name: on_device(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_make"):
        return batch._make(on_device(value, device) for value in batch)
    if isinstance(batch, list | tuple):
        return type(batch)(on_device(value, device) for value in batch)
    return batch


def size_of(batch: Any) -> int:
    """Samples in the batch: the length of its first tensor that is longer than 1, else 1."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.dim() else 1
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    return next((size for size in map(size_of, parts) if size > 1), 1)


def as_batches(data: Any) -> Iterable[Any]:
    """`data` as batches: one batch (a tensor, tuple, mapping, or a list with a tensor in it), or what yields them."""
    is_list_batch = isinstance(data, list) and any(isinstance(part, Tensor) for part in data)
    return [data] if is_list_batch or isinstance(data, Tensor | tuple | Mapping) else data
