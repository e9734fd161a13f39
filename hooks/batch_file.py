"""How one batch becomes a safetensors file: every tensor by a readable name, everything else as JSON metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

FORMAT = "diagnose-batch-1"
MOST_LEAVES = 10_000  # per micro-batch; a list of a million numbers as an argument must not hold up training
MOST_TEXT = 1_000  # characters kept of one string
MOST_JSON = 100_000  # characters of one metadata entry
MOST_DENSE_BYTES = 2**30  # a sparse tensor that were larger as a dense one is left out
STORABLE = frozenset({
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64,
    torch.uint64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2,
})  # fmt: skip


@dataclass(frozen=True)
class Inputs:
    """What one forward pass was given: tensors by reference, plain values, and a note on each thing not kept."""

    indices: list[int] | None
    tensors: dict[str, Tensor] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)  # torch's count of in-place changes when it was seen
    values: dict[str, str | float | None] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def inputs_of(args: tuple[Any, ...], kwargs: Mapping[str, Any], indices: list[int] | None) -> Inputs:
    """Name every leaf of `args` and `kwargs`: `args.0`, `kwargs.input_ids`, `args.0.image`."""
    inputs = Inputs(indices)
    leaves = _leaves("inputs", {"args": args, "kwargs": kwargs})
    for path, leaf in islice(leaves, MOST_LEAVES):
        name = _unused(path.removeprefix("inputs."), inputs)
        if isinstance(leaf, Tensor):
            inputs.tensors[name] = leaf.detach()  # same memory, without the graph that made it
            if not leaf.is_inference():
                inputs.versions[name] = leaf._version
        elif leaf is None or isinstance(leaf, bool | int | float | str):
            inputs.values[name] = _plain(leaf)
        else:
            inputs.notes[name] = f"left out: neither tensor nor plain value, but {type(leaf).__qualname__}"
    if next(leaves, None) is not None:
        inputs.notes["…"] = f"only the first {MOST_LEAVES} tensors and values are kept"
    return inputs


def write_batch(path: Path, micro_batches: Sequence[Inputs], facts: Mapping[str, str]) -> None:
    """Write the micro-batches of one step to `path`, under another name first, so that it is whole or not there.

    Raises `OSError` where the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    values: dict[str, str | float | None] = {}
    notes: dict[str, str] = {}
    for number, inputs in enumerate(micro_batches):
        prefix = f"micro{number}." if len(micro_batches) > 1 else ""
        stored, remarks = _stored(inputs)
        tensors |= {prefix + name: tensor for name, tensor in stored.items()}
        values |= {prefix + name: value for name, value in inputs.values.items()}
        notes |= {prefix + name: note for name, note in remarks.items()}
    metadata = {"format": FORMAT, **facts, "values": _bounded_json(values), "notes": _bounded_json(notes)}
    _save(tensors, path, metadata)


def _leaves(path: str, part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, Mapping):
        for key, inner in part.items():
            yield from _leaves(f"{path}.{key}", inner)
    elif isinstance(part, tuple | list):
        for key, inner in zip(getattr(part, "_fields", range(len(part))), part, strict=True):
            yield from _leaves(f"{path}.{key}", inner)
    else:
        yield path, part


def _unused(name: str, inputs: Inputs) -> str:
    """The name, marked where a key that contains a dot has made the same one: {"a.b": …, "a": {"b": …}}."""
    while name in inputs.tensors or name in inputs.values or name in inputs.notes:
        name += "'"
    return name


def _plain(value: str | float | None) -> str | float | None:
    if isinstance(value, str) and len(value) > MOST_TEXT:
        return value[:MOST_TEXT] + "…"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no NaN
    return value


def _stored(inputs: Inputs) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors as they go to the file, and all notes."""
    stored, notes = {}, dict(inputs.notes)
    for name, tensor in inputs.tensors.items():
        remarks = []
        if not tensor.is_inference() and tensor._version != inputs.versions.get(name):
            remarks.append("changed in place after the forward pass began: these are the later values")
        try:
            stored[name] = _host_copy(tensor, remarks)
        except (RuntimeError, TypeError, ValueError) as error:
            # One odd tensor must not cost the others.
            remarks = [f"left out: {str(error)[:MOST_TEXT]}"]
        if remarks:
            notes[name] = "; ".join(remarks)
    if inputs.indices is not None:
        stored["indices"] = torch.tensor(inputs.indices, dtype=torch.int64, device="cpu")
    return stored, notes


def _host_copy(tensor: Tensor, remarks: list[str]) -> Tensor:
    """A dense, contiguous copy that shares no memory. What had to be changed for that is added to the remarks.

    Raises `ValueError`, or what torch raises, where a tensor has no such form.
    """
    if hasattr(tensor, "to_local"):  # a DTensor; the whole of it would take all ranks' consent
        tensor = tensor.to_local()
        remarks.append("this rank's shard of a distributed tensor")
    if tensor.layout != torch.strided:
        if tensor.numel() * tensor.element_size() > MOST_DENSE_BYTES:
            raise ValueError(f"{tensor.layout} of shape {tuple(tensor.shape)} is too large as a dense tensor")
        remarks.append(f"was {tensor.layout}")
        tensor = tensor.cpu().to_dense()
    if tensor.is_complex():
        remarks.append("complex, as pairs of real numbers: torch.view_as_complex gives it back")
        tensor = torch.view_as_real(tensor.resolve_conj())
    if tensor.dtype not in STORABLE:
        raise ValueError(f"safetensors has no {tensor.dtype}")
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu").copy_(tensor)


def _bounded_json(entries: Mapping[str, str | float | None]) -> str:
    kept: dict[str, str | float | None] = {}
    length = 0
    for name, value in entries.items():
        length += len(json.dumps({name: value}))
        if length > MOST_JSON:
            kept["…"] = f"{len(entries) - len(kept)} more are left out"
            break
        kept[name] = value
    return json.dumps(kept)


def _save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        save_file(tensors, partial, metadata)
        partial.chmod(mode)  # safetensors makes it the owner's alone, unlike the log beside it
        partial.replace(path)
    except SafetensorError as error:
        raise OSError(f"{path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
