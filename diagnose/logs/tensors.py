"""The numbers that a TensorProto holds."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.types_pb2 import (
    DT_BFLOAT16,
    DT_BOOL,
    DT_DOUBLE,
    DT_FLOAT,
    DT_HALF,
    DT_INT8,
    DT_INT16,
    DT_INT32,
    DT_INT64,
    DT_STRING,
    DT_UINT8,
    DT_UINT16,
    DT_UINT32,
    DT_UINT64,
)

# dtype -> (NumPy type of tensor_content, the message's field of single values)
_NUMBERS: Final = {
    DT_FLOAT: ("<f4", "float_val"),
    DT_DOUBLE: ("<f8", "double_val"),
    DT_HALF: ("<f2", "half_val"),
    DT_INT8: ("<i1", "int_val"),
    DT_INT16: ("<i2", "int_val"),
    DT_INT32: ("<i4", "int_val"),
    DT_INT64: ("<i8", "int64_val"),
    DT_UINT8: ("<u1", "int_val"),
    DT_UINT16: ("<u2", "int_val"),
    DT_UINT32: ("<u4", "uint32_val"),
    DT_UINT64: ("<u8", "uint64_val"),
    DT_BOOL: ("?", "bool_val"),
}


def is_text(tensor: Any) -> bool:
    """Whether the tensor holds strings."""
    return bool(tensor.dtype == DT_STRING)


def numbers_of(tensor: Any) -> NDArray[Any]:
    """The tensor's values as a flat array; empty for types that hold no number.

    The declared shape is never trusted: only as much is allocated as the message really holds.
    """
    if tensor.dtype == DT_BFLOAT16:
        content = tensor.tensor_content
        halves = np.frombuffer(content[: len(content) // 2 * 2], "<u2") if content else np.array(tensor.half_val, "<u4")
        return (halves.astype(np.uint32) << 16).view(np.float32)
    if tensor.dtype not in _NUMBERS:
        return np.empty(0)
    kind, single_values = _NUMBERS[tensor.dtype]
    if tensor.tensor_content:
        size = np.dtype(kind).itemsize
        return np.frombuffer(tensor.tensor_content[: len(tensor.tensor_content) // size * size], kind)
    values = getattr(tensor, single_values)
    if tensor.dtype == DT_HALF:  # held as integers that carry the bits
        return np.array([value & 0xFFFF for value in values], np.uint16).view(np.float16)
    return np.array(values).astype(kind)
