"""Vector instructions for the tree kernel: `TILE` bytes, one of each row, go through a test at once.

Numba's loops over bytes are not turned into vector instructions (it widens indices and values to 64 bits), so
the two steps that the kernel spends its time in are written as LLVM vectors; LLVM splits them into what the
processor has.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

TILE = 128
BYTE, INDEX = ir.IntType(8), ir.IntType(32)
LANES = ir.VectorType(BYTE, TILE)


class _Code:
    """A builder of vector code over the arrays of one call."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.context, self.builder = context, builder
        self.types, self.values = signature.args, arguments

    def data(self, which: int) -> Any:
        """Pointer to the elements of an array argument."""
        return self.context.make_array(self.types[which])(self.context, self.builder, self.values[which]).data

    def element(self, which: int, place: int) -> Any:
        """One element of a small array argument, as a number of the machine's size of index where it is no
        byte."""
        found = self.builder.load(self.builder.gep(self.data(which), [ir.Constant(INDEX, place)]))
        return found if found.type == BYTE else self.builder.sext(found, ir.IntType(64))

    def _at(self, pointer: Any, offset: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(pointer, [offset]), LANES.as_pointer())

    def load(self, pointer: Any, offset: Any) -> Any:
        """`TILE` bytes from an offset on, at any alignment."""
        found = self.builder.load(self._at(pointer, offset))
        found.align = 1
        return found

    def store(self, value: Any, pointer: Any, offset: Any) -> None:
        """`TILE` bytes to an offset, at any alignment."""
        self.builder.store(value, self._at(pointer, offset), align=1)

    def spread(self, byte: Any) -> Any:
        """The same byte in every lane."""
        nothing = ir.Constant(LANES, ir.Undefined)
        first = self.builder.insert_element(nothing, byte, ir.Constant(INDEX, 0))
        return self.builder.shuffle_vector(
            first, nothing, ir.Constant(ir.VectorType(INDEX, TILE), [0] * TILE)
        )

    def holds(self, node: int) -> Any:
        """In which rows the test of a group's node holds: its column of the tile reaches its limit."""
        rows = self.builder.mul(self.element(1, node), ir.Constant(ir.IntType(64), TILE))
        return self.builder.icmp_unsigned(
            ">=", self.load(self.data(0), rows), self.spread(self.element(2, node))
        )

    def picked(self, four: list[Any]) -> Any:
        """Of four answers the one that the three tests of the group lead to."""
        lower = self.builder.select(self.holds(1), four[1], four[0])
        higher = self.builder.select(self.holds(2), four[3], four[2])
        return self.builder.select(self.holds(0), higher, lower)


@intrinsic
def number_of_four(_typing, tile, columns, limits, first, out, to):  # type: ignore[no-untyped-def]
    """Write for each row of the tile which of the leaves `first` .. `first + 3` the group leads to, into
    `out[to : to + TILE]`."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        code = _Code(context, builder, signature, arguments)
        places = code.picked([ir.Constant(LANES, [place] * TILE) for place in range(4)])
        code.store(builder.add(places, code.spread(arguments[3])), code.data(4), arguments[5])
        return context.get_dummy_value()

    return types.void(tile, columns, limits, types.uint8, out, types.intp), generate


@intrinsic
def answer_of_four(_typing, tile, columns, limits, answers, start, out, to):  # type: ignore[no-untyped-def]
    """Write for each row of the tile the one of its four answers, of the groups below, that the group leads
    to: they stand in `answers[start : start + 4 * TILE]`, the outcome in `out[to : to + TILE]`."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        code = _Code(context, builder, signature, arguments)
        starts = [builder.add(arguments[4], ir.Constant(ir.IntType(64), k * TILE)) for k in range(4)]
        four = [code.load(code.data(3), start) for start in starts]
        code.store(code.picked(four), code.data(5), arguments[6])
        return context.get_dummy_value()

    return types.void(tile, columns, limits, answers, types.intp, out, types.intp), generate
