"""Eight dot products with the same vector at a time.

Numba leaves a loop over a handful of sums to one instruction each, so the step is written as LLVM vectors;
LLVM splits them into what the processor has.
"""

from __future__ import annotations

from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

ABREAST = 8  # vectors that are multiplied by the same one at a time
LANES = 4  # sums of a product that run beside each other; vectors are padded with zeros to a multiple

_INDEX, _PLACE, _DOUBLE = ir.IntType(64), ir.IntType(32), ir.DoubleType()
_EIGHT, _PLACES = ir.VectorType(_DOUBLE, ABREAST), ir.VectorType(_PLACE, ABREAST)


def _dots(_context: Any, values: Any, at: Any, others: Any, block: Any, out: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def array(which: int) -> Any:
            return context.make_array(signature.args[which])(context, builder, arguments[which])

        def number(value: int) -> Any:
            return ir.Constant(_INDEX, value)

        nothing, first = ir.Constant(_EIGHT, ir.Undefined), arguments[1]
        mine, theirs = array(0).data, array(2)
        size = builder.extract_value(theirs.shape, 1)
        begins = builder.mul(arguments[3], builder.mul(size, number(ABREAST)))
        before, loop, after = builder.block, *(builder.append_basic_block(name) for name in ("sums", "end"))
        builder.branch(loop)
        builder.position_at_end(loop)
        k, sums = builder.phi(_INDEX), [builder.phi(_EIGHT) for _ in range(LANES)]
        grown = []
        for lane, total in enumerate(sums):
            place = builder.add(k, number(lane))
            one = builder.fpext(builder.load(builder.gep(mine, [builder.add(first, place)])), _DOUBLE)
            alone = builder.insert_element(nothing, one, ir.Constant(_PLACE, 0))
            same = builder.shuffle_vector(alone, nothing, ir.Constant(_PLACES, [0] * ABREAST))
            offset = builder.add(begins, builder.mul(place, number(ABREAST)))
            column = builder.load(builder.bitcast(builder.gep(theirs.data, [offset]), _EIGHT.as_pointer()))
            column.align = 8
            grown.append(builder.fadd(total, builder.fmul(same, column)))
        following = builder.add(k, number(LANES))
        k.add_incoming(number(0), before)
        k.add_incoming(following, loop)
        for total, more in zip(sums, grown, strict=True):
            total.add_incoming(ir.Constant(_EIGHT, [0.0] * ABREAST), before)
            total.add_incoming(more, loop)
        builder.cbranch(builder.icmp_signed("<", following, size), loop, after)
        builder.position_at_end(after)
        products = builder.fadd(builder.fadd(grown[0], grown[2]), builder.fadd(grown[1], grown[3]))
        builder.store(products, builder.bitcast(array(4).data, _EIGHT.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(values, types.int64, others, types.int64, out), generate


dots = cast(Any, intrinsic(_dots))
"""dots(values, at, others, block, out): out[i] = the product of the float32 vector that begins at values[at]
and the vector others[block, :, i], for `ABREAST` of them; others float64[blocks, size, ABREAST], its size a
multiple of LANES and not 0. Each of LANES sums takes every fourth number, as `vectors_kernel.dot` has them,
so that both give the same bits."""
