"""Numbers become Flower's arrays, and back, without writing and parsing the text in front of .npy bytes each time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.lib import format as npy
from numpy.typing import NDArray

STYPE = "numpy.ndarray"  # Flower's name for .npy bytes


def encode(value: NDArray[Any]) -> Array:
    """What `Array(value)` gives for an array in C order, byte for byte.

    >>> weight = np.eye(3, 2, dtype=np.float32)
    >>> encode(weight) == Array(weight)
    True
    """
    value = np.ascontiguousarray(value)
    dtype, shape = str(value.dtype), tuple(value.shape)
    return Array(dtype, shape, STYPE, _header(dtype, shape) + value.tobytes())


def decode(array: Array) -> NDArray[Any]:
    """What `array.numpy()` gives, as a read-only view of the message's own bytes.

    Numpy reads what does not begin as the declared shape and dtype do: Fortran order, or a stranger's header.

    >>> decode(encode(np.array([1.5, 2.5]))).tolist()
    [1.5, 2.5]
    """
    header = _header(array.dtype, tuple(array.shape))
    if array.stype != STYPE or not array.data.startswith(header):
        return array.numpy()
    return np.frombuffer(array.data, array.dtype, offset=len(header)).reshape(array.shape)


def record_of(arrays: Mapping[str, Array]) -> ArrayRecord:
    """A record around these very arrays; `ArrayRecord(arrays)` would copy each.

    >>> list(record_of({"head.bias": encode(np.zeros(1))}))
    ['head.bias']
    """
    record = ArrayRecord()
    for name, array in arrays.items():
        record[name] = array
    return record


@lru_cache(maxsize=1024)
def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    buffer = BytesIO()
    facts = {"descr": npy.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(buffer, facts)
    return buffer.getvalue()
