"""The versions of items that an online store keeps, beside the states that were folded with them: whoever
reads states takes the catalog from the same place.

They lie in chunks, numbered in the order in which they were learnt; who has read some reads on behind them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa

from pipelines.features.catalog import Catalog, item_columns
from pipelines.features.columns import as_ms, packed, unpacked
from pipelines.features.hashing import hash_texts
from pipelines.features.measures import texts_read, without_other_texts

CATALOG = b"c"


class Scanned(Protocol):
    """What is asked of an online store here."""

    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys and records of a kind behind `after`, in order."""


class StoredCatalog:
    """Fills a catalog from a store, and gives what is new for it as records. A version that is known already
    is left out: the first one of an item and time holds, as in silver."""

    def __init__(self, catalog: Catalog) -> None:
        """Nothing is read yet; the catalog may know rows of items, but no versions."""
        self.catalog = catalog
        self._known: set[tuple[int, int]] = set()
        self._last = b""
        self._unsaved: list[pa.Table] = []

    def catch_up(self, store: Scanned) -> int:
        """Learn what the store has got since the last call; how many versions these were."""
        learnt = 0
        for key, chunk in store.scan(CATALOG, self._last):
            learnt += self._learn(unpacked(chunk)).num_rows
            self._last = key
        return learnt

    def add(self, items: pa.Table) -> None:
        """Learn rows of silver.items."""
        read, texts = item_columns(self.catalog.definitions), texts_read(self.catalog.definitions.numbers)
        rows = items.select(list(read))
        new = self._learn(without_other_texts(rows, texts) if texts else rows)
        if new.num_rows:
            self._unsaved.append(new)

    def unsaved(self) -> dict[bytes, bytes]:
        """What the store is to keep of the rows that were added since the last `saved`, by key."""
        if not self._unsaved:
            return {}
        number = int.from_bytes(self._last[1:], "big") + 1
        return {CATALOG + number.to_bytes(8, "big"): packed(pa.concat_tables(self._unsaved))}

    def saved(self) -> None:
        """The store has what was not saved."""
        self._unsaved.clear()

    def _learn(self, items: pa.Table) -> pa.Table:
        pairs = list(
            zip(hash_texts(items["item_id"]).tolist(), as_ms(items["valid_from"]).tolist(), strict=True)
        )
        new = np.zeros(len(pairs), bool)
        for at, pair in enumerate(pairs):
            new[at] = pair not in self._known
            self._known.add(pair)
        rows = items if new.all() else items.filter(pa.array(new))
        if rows.num_rows:
            self.catalog.learn(rows)
        return rows


def without_old(store: Scanned, before_ms: int) -> dict[bytes, bytes | None]:
    """The changes that leave, of all versions in the store, those which were valid at `before_ms` or later,
    in one chunk with the number of the last. Empty when nothing would go, and there is one chunk already."""
    chunks = dict(store.scan(CATALOG))
    if not chunks:
        return {}
    rows = pa.concat_tables([unpacked(chunk) for chunk in chunks.values()])
    items, begins = hash_texts(rows["item_id"]), as_ms(rows["valid_from"])
    order = np.lexsort((begins, items))
    follows = np.append(items[order][1:] == items[order][:-1], False)
    until = np.append(begins[order][1:], 0)
    kept = np.sort(order[~(follows & (until <= before_ms))])
    if len(chunks) == 1 and kept.size == rows.num_rows:
        return {}
    changes: dict[bytes, bytes | None] = dict.fromkeys(chunks)
    return changes | {max(chunks): packed(rows.take(pa.array(kept)))}
