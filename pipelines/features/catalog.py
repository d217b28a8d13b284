"""The catalog of items, as rows of silver.items, in the arrays that kernels look things up in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import FeatureError
from pipelines.features.columns import as_ms, entries
from pipelines.features.definitions import Definitions
from pipelines.features.hashing import hash_text, hash_texts
from pipelines.features.lookups import Lookups
from pipelines.features.measures import numbers_of, texts_read
from pipelines.features.program import Floats, Ints
from pipelines.features.rows import Rows
from pipelines.features.vectors import Vectors, no_vectors
from pipelines.features.vectors_kernel import Spaces

ITEM_COLUMNS = ("item_id", "valid_from", "numbers", "categories", "tags")
"""What is read of silver.items, whatever the features; see `item_columns`."""


def item_columns(definitions: Definitions) -> tuple[str, ...]:
    """What these definitions read of silver.items: texts, which may be long, only where one is measured."""
    return (*ITEM_COLUMNS, "texts") if texts_read(definitions.numbers) else ITEM_COLUMNS


@dataclass
class _Values:
    """Pairs (version, value row) of one attribute."""

    versions: Ints
    rows: Ints


class Catalog:
    """Attributes of items by version. Rows of items that are only met in events are given here too, without
    any version."""

    def __init__(self, definitions: Definitions, vectors: Vectors | None = None) -> None:
        """An empty catalog that keeps what these definitions read, with the vectors of a model."""
        self.vectors = vectors
        self.items = Rows()
        self.values = Rows()
        self.definitions = definitions
        self._seeds = [hash_text(name) for name in definitions.attributes]
        self._version_items: Ints = np.zeros(0, np.int64)
        self._valid_from: Ints = np.zeros(0, np.int64)
        self._numbers: Floats = np.zeros((0, len(definitions.numbers)))
        self._values = [_Values(np.zeros(0, np.int64), np.zeros(0, np.int64)) for _ in definitions.attributes]
        self._lookups: Lookups | None = None
        self._spaces: tuple[Vectors | None, int, Spaces] | None = None

    def learn(self, items: pa.Table) -> None:
        """Add versions: rows of silver.items with the columns `item_columns`."""
        first = self._version_items.size
        self._version_items = np.append(self._version_items, self.items.of(hash_texts(items["item_id"])))
        self._valid_from = np.append(self._valid_from, as_ms(items["valid_from"]))
        self._numbers = np.vstack([self._numbers, numbers_of(items, self.definitions.numbers)])
        for seed, name, kept in zip(self._seeds, self.definitions.attributes, self._values, strict=True):
            versions, texts = _values_of(items, name)
            kept.versions = np.append(kept.versions, versions + first)
            kept.rows = np.append(kept.rows, self.values.of(hash_texts(texts, seed)))
        self._lookups = None

    def lookups(self) -> Lookups:
        """The arrays for the kernels, for all items met so far."""
        if self._lookups is None:
            self._lookups = self._build()
        known = self._lookups.versions
        if known.size != self.items.count + 1:
            nothing = np.repeat(known[-1], self.items.count + 1 - known.size)
            self._lookups = self._lookups._replace(
                item_keys=self.items.keys(),
                versions=np.append(known, nothing),
                index_keys=self.items.index_keys,
                index_rows=self.items.index_rows,
            )
        return self._lookups

    def spaces(self) -> Spaces:
        """The vectors for the kernels, for all items met so far. Raises FeatureError when features need some
        and there are none."""
        if self.vectors is None and self.definitions.needs_vectors:
            raise FeatureError(
                f"the features {self.definitions.hash} are computed from vectors, and none are given: run "
                "build_vectors, or take those that the model carries"
            )
        kept = self._spaces
        if kept is None or kept[0] is not self.vectors:
            spaces = (self.vectors or no_vectors()).spaces(self.items.keys())
            kept = self._spaces = (self.vectors, self.items.count, spaces)
        if kept[1] != self.items.count:
            rows = (self.vectors or no_vectors()).rows(self.items.keys())
            kept = self._spaces = (self.vectors, self.items.count, kept[2]._replace(rows=rows))
        return kept[2]

    def _build(self) -> Lookups:
        order = np.lexsort((self._valid_from, self._version_items))
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        starts = np.zeros((len(self._values), order.size + 1), np.int64)
        rows: list[Ints] = []
        for attribute, kept in enumerate(self._values):
            pairs = np.unique(np.column_stack([place[kept.versions], kept.rows]), axis=0)
            counts = np.bincount(pairs[:, 0], minlength=order.size)
            starts[attribute] = sum(r.size for r in rows) + np.append(0, np.cumsum(counts))
            rows.append(np.ascontiguousarray(pairs[:, 1]))
        per_item = np.bincount(self._version_items, minlength=self.items.count)
        return Lookups(
            item_keys=self.items.keys(),
            versions=np.append(0, np.cumsum(per_item)),
            valid_from=self._valid_from[order],
            value_starts=starts,
            value_rows=np.concatenate([np.zeros(0, np.int64), *rows]),
            value_keys=self.values.keys(),
            numbers=np.ascontiguousarray(self._numbers[order]),
            index_keys=self.items.index_keys,
            index_rows=self.items.index_rows,
        )


def _values_of(items: pa.Table, name: str) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """(row, text) of each value of the attribute: the category, or every tag."""
    rows, names, texts = entries(items["categories"])
    chosen = pc.equal(names, name).to_numpy(zero_copy_only=False)
    tag_rows, tag_names, tags = entries(items["tags"])
    tagged = pc.equal(tag_names, name).to_numpy(zero_copy_only=False)
    lists = tags.filter(pa.array(tagged))
    repeats = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    found = np.append(rows[chosen], np.repeat(tag_rows[tagged], repeats))
    return found, pa.concat_arrays([texts.filter(pa.array(chosen)), pc.list_flatten(lists)])
