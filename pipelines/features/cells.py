"""A word of a record, read and written where it is.

numpy's rules let a negative index count from the end, so numba asks of every index whether it is one; a
kernel that does little but look words up spends a good part of its time on that. Rows and words are never
negative here.
"""

from __future__ import annotations

from typing import Any, cast

from llvmlite.ir import DoubleType
from numba.core import cgutils, types
from numba.extending import intrinsic

parts = cast(Any, cgutils.unpack_tuple)


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    step = parts(builder, array.strides)[0]
    words = builder.sdiv(step, step.type(8), flags=("exact",))
    return builder.gep(array.data, [builder.add(builder.mul(arguments[1], words), arguments[2])])


def _cell(_context: Any, records: Any, row: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature, arguments))

    return records.dtype(records, types.int64, types.int64), codegen


def _real_cell(_context: Any, records: Any, row: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.load(_pointer(context, builder, signature, arguments)), DoubleType())

    return types.float64(records, types.int64, types.int64), codegen


def _put(_context: Any, records: Any, row: Any, word: Any, number: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        at = _pointer(context, builder, signature, arguments)
        builder.store(builder.bitcast(arguments[3], at.type.pointee), at)
        return context.get_dummy_value()

    value = types.float64 if isinstance(number, types.Float) else types.int64
    return types.none(records, types.int64, types.int64, value), codegen


cell = cast(Any, intrinsic(_cell))
"""`cell(records, row, word)` is `records[row, word]`, of records whose words lie together."""
real_cell = cast(Any, intrinsic(_real_cell))
"""`real_cell(records, row, word)` is the float whose bits the word holds."""
put = cast(Any, intrinsic(_put))
"""`put(records, row, word, number)` writes the number, or the bits of a float, into the word."""
