"""Sharded parameters (FSDP2, tensor parallelism): the part on this rank, and norms over all ranks' parts.

Every collective that this package launches is launched here, at the optimizer's step, on all ranks of a mesh
alike: one that a single rank left out would keep the others waiting for ever.
"""

from __future__ import annotations

import logging
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from diagnose.hooks.norms import norms_of

logger = logging.getLogger("diagnose")

OTHER_SPLITS = ("tp", "cp", "pp", "ep", "sp")  # tensor, context, pipeline, expert and sequence parallelism
_attached: Counter[str] = Counter()  # how often a model of the same shards was attached in this process


def is_sharded(tensor: object) -> bool:
    """Whether `tensor` is a DTensor; where their module was never imported, nothing is one."""
    module = sys.modules.get("torch.distributed.tensor")
    kind = getattr(module, "DTensor", None)
    return kind is not None and isinstance(tensor, kind)


def local(tensor: Any) -> Tensor:
    """What of `tensor` lies on this rank, which may be nothing; a plain tensor as it is."""
    with torch.no_grad():
        part: Tensor = tensor.to_local() if is_sharded(tensor) else tensor
        return part


def number_in(scalar: Any) -> Tensor | None:
    """A scalar as a plain tensor; None where it is a sum that the ranks have not formed yet."""
    if not is_sharded(scalar):
        plain: Tensor = scalar
        return plain
    return local(scalar) if all(placement.is_replicate() for placement in scalar.placements) else None


def plain_type(module: nn.Module) -> type:
    """The class as it was written: `fully_shard` gives a Linear the class FSDPLinear(FSDPModule, Linear)."""
    line = type(module).__mro__
    return line[2] if line[1].__name__ == "FSDPModule" else line[0]


def replicas_sharded(model: nn.Module) -> int:
    """The number of ranks whose gradients `fully_shard` averages; 1 for any other model.

    Dimensions of a mesh by which other things than the batch are split are left out, where they bear their usual name.
    """
    if not any(type(module).__mro__[1].__name__ == "FSDPModule" for module in model.modules()):
        return 1
    meshes = [p.device_mesh for p in model.parameters() if is_sharded(p)]  # type: ignore[attr-defined]
    return max((_data_parallel(mesh) for mesh in meshes), default=1)


def _data_parallel(mesh: Any) -> int:
    names = mesh.mesh_dim_names or [""] * mesh.ndim
    sizes = [mesh.size(dimension) for dimension, name in enumerate(names) if name not in OTHER_SPLITS]
    return int(torch.Size(sizes).numel())


def shards_of(parameters: Sequence[nn.Parameter]) -> Shards | None:
    """The parameters' shards; None where they are all plain, and nothing has to be added up."""
    return Shards(parameters) if any(map(is_sharded, parameters)) else None


class Shards:
    """The local parts of a model's parameters, some or all of them DTensors.

    Made on each rank at attach. Whether all ranks of a mesh have made theirs is known at the first optimizer
    step, before which training itself has had them wait for each other; if not, nothing is ever added up.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = parameters
        of_meshes: dict[Any, list[int]] = {}
        for place, parameter in enumerate(parameters):
            if is_sharded(parameter):
                of_meshes.setdefault(parameter.device_mesh, []).append(place)  # type: ignore[attr-defined]
        self._meshes = [_Mesh(mesh, places, parameters) for mesh, places in of_meshes.items()]
        self._together: bool | None = None
        self._works: dict[str, bool] = {}  # measurement -> whether its first one did, on every rank

    def norms(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """The 2-norms of the local parts of `tensors`, one for each parameter; 0 for None, of shape (parameters,)."""
        there = [place for place, tensor in enumerate(tensors) if tensor is not None]
        parts = [local(self._placed(place, tensors[place])) for place in there]
        norms = list(self._filled(0.0, len(tensors)).unbind())
        for place, norm in zip(there, norms_of(parts), strict=True):
            norms[place] = norm.to(norms[place])
        return torch.stack(norms)

    def add_up(self, name: str, measure: Callable[[], Tensor], rows: int) -> Tensor | None:
        """Norms over all ranks' parts, of shape (rows, parameters), from what `measure` gives for this rank's.

        None where some rank does not take part. What `measure` raises does not leave this method, since the
        other ranks are waiting: if it does so at first, on whichever rank, `name` is left out on all of them;
        later the sum is NaN.
        """
        if self._together is None:
            self._together = all(mesh.is_complete() for mesh in self._meshes)
            if not self._together:
                logger.warning("diagnose: norms are left out: a sharded model's need attach on every rank.")
        if not self._together or not self._works.get(name, True):
            return None
        try:
            norms, failed = measure(), False
        except Exception as error:  # noqa: BLE001  whatever it is, the collective must follow
            logger.warning("diagnose: %s failed on this rank: %s: %s", name, type(error).__name__, error)
            norms, failed = self._filled(torch.nan, rows, len(self._parameters)), True
        if name not in self._works:
            failures = [mesh.any_rank(failed) for mesh in self._meshes]  # all of them: the others wait at each
            self._works[name] = not any(failures)
            if not self._works[name]:
                return None
        for mesh in self._meshes:
            mesh.add_up(norms)
        return norms

    def _filled(self, value: float, *shape: int) -> Tensor:
        return torch.full(shape, value, device=local(self._parameters[0]).device)

    def _placed(self, place: int, tensor: Any) -> Tensor:
        """The tensor laid out as its parameter is: a gradient may still be a sum that the ranks have to form."""
        wanted = getattr(self._parameters[place], "placements", None)
        if is_sharded(tensor) and tensor.placements != wanted:
            tensor = tensor.redistribute(placements=wanted)
        placed: Tensor = tensor
        return placed


class _Mesh:
    """The parameters that live on one device mesh; those at `places` among all."""

    def __init__(self, mesh: Any, places: Sequence[int], parameters: Sequence[Any]) -> None:
        split = [d for d in range(mesh.ndim) if any(not parameters[p].placements[d].is_replicate() for p in places)]
        self._mesh = mesh
        self._places = places
        self._groups = [mesh.get_group(dimension) for dimension in split if mesh.size(dimension) > 1]
        # Along a dimension that is added up, whoever holds a copy of the same part counts once in all.
        self._copies = [[mesh.size(d) for d in split if parameters[p].placements[d].is_replicate()] for p in places]
        self._indices: Tensor | None = None
        shapes = [(tuple(parameters[p].shape), parameters[p].placements) for p in places]
        key = f"diagnose/{zlib.crc32(repr((mesh.mesh.tolist(), shapes)).encode()):08x}"
        _attached[key] += 1
        self._key = f"{key}/{_attached[key]}"
        self._store = dist.distributed_c10d._get_default_store()
        self._store.add(f"{self._key}/ranks", 1)

    def is_complete(self) -> bool:
        """Whether all ranks of the mesh have come this far; the first to ask decides for all of them."""
        came = self._store.add(f"{self._key}/ranks", 0) == self._mesh.size()
        decided: bytes = self._store.compare_set(f"{self._key}/complete", "", "yes" if came else "no")
        return decided == b"yes"

    def any_rank(self, failed: bool) -> bool:  # noqa: FBT001
        """Whether it is true on any rank that shares parts with this one; waits for the device."""
        flag = torch.tensor([float(failed)], device=self._mesh.device_type)
        self._sum(flag)
        return flag.item() > 0

    def add_up(self, norms: Tensor) -> None:
        """Turn the local norms, of shape (rows, parameters), into the whole ones, in place."""
        if not self._groups:
            return
        if self._indices is None:
            self._indices = torch.tensor(self._places, device=norms.device)
            copies = [float(torch.Size(sizes).numel()) for sizes in self._copies]
            self._shares = 1.0 / torch.tensor(copies, dtype=torch.float64, device=norms.device)
        # In float64: squares of norms that float32 still holds overflow there.
        squares = norms[:, self._indices].double().square_().mul_(self._shares).to(self._mesh.device_type)
        self._sum(squares)
        norms[:, self._indices] = squares.sqrt_().to(norms)

    def _sum(self, values: Tensor) -> None:
        for group in self._groups:
            dist.all_reduce(values, group=group)
