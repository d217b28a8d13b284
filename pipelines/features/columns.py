"""Arrow columns as the plain arrays that kernels take."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.features.program import Ints


def whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as one array."""
    if isinstance(column, pa.Array):
        return column
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    )


def as_ms(column: pa.ChunkedArray, missing: int = 0) -> Ints:
    """Times as ms since 1970, rounded down; `missing` in place of null."""
    micros = pc.cast(column, pa.timestamp("us", column.type.tz)).cast(pa.int64())
    plain = pc.fill_null(micros, missing * 1000)
    return np.asarray(whole(plain).to_numpy(zero_copy_only=False), np.int64) // 1000


def as_ints(column: pa.ChunkedArray) -> Ints:
    """A column of integers without nulls."""
    return np.asarray(whole(column).to_numpy(zero_copy_only=False), np.int64)


def entries(column: pa.ChunkedArray) -> tuple[Ints, pa.Array, pa.Array]:
    """(row, key, value) of every entry of a column of maps."""
    maps = whole(column)
    as_list = maps.cast(pa.list_(pa.struct([("key", maps.type.key_type), ("value", maps.type.item_type)])))
    flat = pc.list_flatten(as_list)
    rows = np.asarray(pc.list_parent_indices(as_list).to_numpy(zero_copy_only=False), np.int64)
    return rows, pc.struct_field(flat, "key"), pc.struct_field(flat, "value")


def lists(column: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """(length of each list, all elements); a null is an empty list."""
    array = whole(column)
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    return np.asarray(lengths, np.int64), pc.list_flatten(array)


def packed(rows: pa.Table) -> bytes:
    """Rows as bytes: an Arrow stream."""
    return bytes(_packed(rows))


def packed_cell(rows: pa.Table) -> pa.BinaryArray:
    """An array of one value: the rows as `packed`, without a copy."""
    content = _packed(rows)
    ends = pa.py_buffer(np.array([0, content.size], np.int32))
    return pa.BinaryArray.from_buffers(pa.binary(), 1, [None, ends, content])


def _packed(rows: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue()


def unpacked(content: bytes | pa.Buffer) -> pa.Table:
    """Rows that were `packed`, without a copy of their content."""
    return pa.ipc.open_stream(content).read_all()
