"""Numbers of items as the kernel takes them: number attributes, and what is measured of texts and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.features.columns import entries
from pipelines.features.program import Floats, Ints


class Measured(NamedTuple):
    """A number that is read off an attribute of another kind: `words` of a text, or the `index` of the first
    value among `values`, from 1 (0: another value). With `log`, log(1 + it)."""

    attribute: str
    log: bool
    measure: str
    values: tuple[str, ...]


Number = tuple[str, bool] | Measured
"""A number attribute, and whether its logarithm log(1 + x) is meant; or something measured."""


def texts_read(numbers: Sequence[Number]) -> list[str]:
    """The attributes of kind text that these numbers are read off."""
    found = [n.attribute for n in numbers if isinstance(n, Measured) and n.measure == "words"]
    return list(dict.fromkeys(found))


def without_other_texts(items: pa.Table, attributes: Sequence[str]) -> pa.Table:
    """The items with these texts alone: others may be long, and nothing is read off them."""
    rows, names, texts = entries(items["texts"])
    kept = pc.is_in(names, value_set=pa.array(attributes, pa.string()))
    counts = np.bincount(rows[kept.to_numpy(zero_copy_only=False)], minlength=items.num_rows)
    starts = pa.array(np.append(0, np.cumsum(counts)), pa.int32())
    found = pa.MapArray.from_arrays(starts, names.filter(kept), texts.filter(kept))
    return items.set_column(items.schema.get_field_index("texts"), "texts", found)


def numbers_of(items: pa.Table, numbers: Sequence[Number]) -> Floats:
    """One column for each of the numbers, one row for each of the items; NaN where an item has none.

    Needs the columns numbers, categories and tags of silver.items, and texts where words are counted.
    """
    found = np.full((items.num_rows, len(numbers)), np.nan)
    plain = entries(items["numbers"])
    for column, number in enumerate(numbers):
        if isinstance(number, Measured):
            rows, values = _words(items, number) if number.measure == "words" else _index(items, number)
        else:
            rows, values = _of_attribute(*plain, number[0])
        # A logarithm is for sizes; below zero there is none, and the value counts as unknown.
        with np.errstate(invalid="ignore", divide="ignore"):
            found[rows, column] = np.log1p(values) if number[1] else values
    found[~np.isfinite(found)] = np.nan
    return found


def _of_attribute(rows: Ints, names: pa.Array, values: pa.Array, name: str) -> tuple[Ints, Floats]:
    chosen = pc.equal(names, name).to_numpy(zero_copy_only=False)
    found = values.filter(pa.array(chosen)).to_numpy(zero_copy_only=False)
    return rows[chosen], found.astype(np.float64)


def _words(items: pa.Table, number: Measured) -> tuple[Ints, Floats]:
    """How many words the text has: what stands between blanks of any script."""
    rows, names, texts = entries(items["texts"])
    chosen = pc.equal(names, number.attribute)
    counts = [len(text.split()) for text in texts.filter(chosen).to_pylist()]
    return rows[chosen.to_numpy(zero_copy_only=False)], np.array(counts, np.float64)


def _index(items: pa.Table, number: Measured) -> tuple[Ints, Floats]:
    """Where the category, or the first of the tags as the source told them, stands in the list of values."""
    rows, names, categories = entries(items["categories"])
    tag_rows, tag_names, tags = entries(items["tags"])
    chosen = pc.equal(names, number.attribute)
    is_told = pc.greater(pc.fill_null(pc.list_value_length(tags), 0), 0)
    tagged = pc.and_(pc.equal(tag_names, number.attribute), is_told)
    first = pc.list_flatten(pc.list_slice(tags.filter(tagged), 0, 1))
    values = pa.concat_arrays([categories.filter(chosen), first])
    place = pc.index_in(values, value_set=pa.array(number.values, pa.string()))
    numbered = pc.fill_null(pc.add(place, 1), 0).to_numpy(zero_copy_only=False)
    masks = [mask.to_numpy(zero_copy_only=False) for mask in (chosen, tagged)]
    return np.append(rows[masks[0]], tag_rows[masks[1]]), numbered.astype(np.float64)
