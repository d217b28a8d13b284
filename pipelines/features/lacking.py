"""Which records a request lacks, when others are kept from one request to the next."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.features.compiled import compiled
from pipelines.features.program import Ints

Flags = npt.NDArray[np.bool_]


@compiled
def lacking_rows(
    items: Ints, ready: Flags, fresh_items: Flags, fresh_values: Flags, starts: Ints, values: Ints
) -> tuple[Ints, Ints, Ints]:
    """Of `items` (rows, negative for none) those that are not `ready`; and which of their own records and of
    those of their values, values[starts[item] : starts[item + 1]], are not fresh, each once."""
    unready, of_items = np.empty(items.size, np.int64), np.empty(items.size, np.int64)
    count, own, theirs, most = 0, 0, 0, 0
    for item in items:
        if item >= 0 and not ready[item]:
            unready[count] = item
            count += 1
            most += starts[item + 1] - starts[item] if item + 1 < starts.size else 0
    of_values = np.empty(most, np.int64)
    for item in unready[:count]:  # what was met once counts as fresh until all were met
        if not fresh_items[item]:
            fresh_items[item] = True
            of_items[own] = item
            own += 1
        if item + 1 >= starts.size:
            continue  # it is only met in events
        for value in values[starts[item] : starts[item + 1]]:
            if not fresh_values[value]:
                fresh_values[value] = True
                of_values[theirs] = value
                theirs += 1
    for item in of_items[:own]:
        fresh_items[item] = False
    for value in of_values[:theirs]:
        fresh_values[value] = False
    return unready[:count], of_items[:own], of_values[:theirs]
