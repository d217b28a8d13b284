"""Arrays lent to a kernel for one call, so that passing them on counts no references.

Kernels hand a dozen arrays to one another. Each hand-over would add to and take from an atomic count of who
holds the array, which is most of the time of a kernel that does little else; whoever calls `advance` or
`read` holds the arrays anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba.core import cgutils, types
from numba.extending import intrinsic

Arrays = TypeVar("Arrays")
null = cast(Any, cgutils.get_null_value)


def _lent(_context: Any, arrays: Any) -> Any:
    def view(context: Any, builder: Any, kind: Any, value: Any) -> Any:
        if isinstance(kind, types.BaseTuple):
            parts = enumerate(cast(Any, kind).types)
            lent_parts = [view(context, builder, k, builder.extract_value(value, i)) for i, k in parts]
            return context.make_tuple(builder, kind, lent_parts)
        if not isinstance(kind, types.Array):
            return value
        array = context.make_array(kind)(context, builder, value)
        array.meminfo, array.parent = (null(part.type) for part in (array.meminfo, array.parent))
        return array._getvalue()

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return view(context, builder, signature.args[0], arguments[0])

    return arrays(arrays), generate


lent = cast(Callable[[Arrays], Arrays], intrinsic(_lent))
"""The same array, or tuple of arrays, as one that does not keep its memory alive."""
