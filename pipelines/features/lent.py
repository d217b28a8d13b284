"""Arrays lent to a kernel for one call, so that passing them on counts no references.

Kernels hand a dozen arrays to one another. Each hand-over would add to and take from an atomic count of who
holds the array, which is most of the time of a kernel that does little else; whoever calls `advance` or
`read` holds the arrays anyway.
"""

from __future__ import annotations

from typing import Any, cast

from numba.core import cgutils
from numba.extending import intrinsic

from pipelines.features.compiled import compiled
from pipelines.features.lookups import Lookups
from pipelines.features.program import Program, States

null = cast(Any, cgutils.get_null_value)


def _lent(_context: Any, array: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        view.meminfo, view.parent = (null(part.type) for part in (view.meminfo, view.parent))
        return view._getvalue()

    return array(array), codegen


lent = cast(Any, intrinsic(_lent))
"""The same array, as one that does not keep its memory alive."""


@compiled
def lent_program(program: Program) -> Program:
    """All its arrays, lent."""
    return Program(
        lent(program.steps),
        lent(program.step_values),
        lent(program.targets),
        lent(program.rings),
        lent(program.features),
        lent(program.feature_values),
        lent(program.rewards),
        program.gap,
    )


@compiled
def lent_states(states: States) -> States:
    """All its arrays, lent."""
    return States(lent(states.everything), lent(states.items), lent(states.values), lent(states.users))


@compiled
def lent_catalog(catalog: Lookups) -> Lookups:
    """All its arrays, lent."""
    return Lookups(
        lent(catalog.item_keys),
        lent(catalog.versions),
        lent(catalog.valid_from),
        lent(catalog.value_starts),
        lent(catalog.value_rows),
        lent(catalog.value_keys),
        lent(catalog.numbers),
        lent(catalog.index_keys),
        lent(catalog.index_rows),
    )
