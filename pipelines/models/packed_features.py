"""Features on their way to a model: the float32 values of one or more rows as the bytes of one cell.

Spark hands a list of numbers over one by one, and bytes as they are (figures in docs/decisions.md).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

VALUE = np.dtype("<f4")


def packed(features: NDArray[np.float32], starts: NDArray[np.int64]) -> pa.BinaryArray:
    """A column whose cell i holds the rows `starts[i]` .. `starts[i + 1] - 1` of `features` float32[n,
    width].

    Raises OverflowError when the column has 2 GiB or more: pack fewer rows at a time.
    """
    values = np.ascontiguousarray(features, VALUE)
    offsets = np.asarray(starts) * (values.shape[1] * VALUE.itemsize)
    if offsets[-1] > np.iinfo(np.int32).max:
        raise OverflowError(
            f"{offsets[-1]:,} bytes of features do not fit one column: pack fewer rows at a time"
        )
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def cell_sizes(column: pa.Array) -> NDArray[np.float64]:
    """How many values each cell of a column of `packed` cells or of lists holds; a fraction where bytes are
    left over. A null cell holds nothing."""
    if pa.types.is_binary(column.type):
        sizes = pc.divide(pc.binary_length(column).cast(pa.float64()), VALUE.itemsize)
    else:
        sizes = column.value_lengths().cast(pa.float64())
    return np.asarray(sizes.fill_null(0).to_numpy(zero_copy_only=False))


def unpacked(column: pa.Array) -> NDArray[np.float32] | None:
    """All values of a column of `packed` cells or of lists of float32, one cell after the other, without a
    copy where that is possible; None where lists hold a null. A null cell holds nothing."""
    if not pa.types.is_binary(column.type):
        flat = column.flatten()
        return None if flat.null_count else np.asarray(flat.to_numpy(zero_copy_only=True))
    held = column.drop_null() if column.null_count else column
    _, offsets, data = held.buffers()
    if data is None or len(held) == 0:
        return np.empty(0, np.float32)
    ends = np.frombuffer(offsets, np.int32)[held.offset : held.offset + len(held) + 1]
    inside = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
    whole = inside[: inside.size - inside.size % VALUE.itemsize]
    return np.require(whole.view(VALUE), np.float32, "A")
