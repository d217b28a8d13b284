"""The request carrier of a service: records of items and values stay in its states from one request to the
next, as long as the store says that they have not changed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipelines.features.carriers import EVERYTHING, ITEM, USER, VALUE, Carrier, Request, StoredRows
from pipelines.features.catalog import Catalog
from pipelines.features.definitions import Definitions
from pipelines.features.history import History
from pipelines.features.ids import hash_list
from pipelines.features.kernel import Happenings
from pipelines.features.lacking import Flags, lacking_rows
from pipelines.features.program import Ints
from pipelines.features.replay import fold_only, happenings

_KEY = np.dtype([("scope", "S1"), ("hash", ">i8")])
_FIRST = np.zeros(1, np.int64)
_OF_EVERYTHING = EVERYTHING + bytes(8)


class KeptCarrier(Carrier):
    """Reads requests with the records of the store, most of which it has read before.

    `forget` what the store has changed, read the records that are `lacking`, give them to `read_kept`. What
    the other ways of a carrier put into the states is not kept.
    """

    def __init__(self, definitions: Definitions, catalog: Catalog) -> None:
        """Nothing is kept yet."""
        super().__init__(definitions, catalog)
        self._fresh: dict[bytes, Flags] = {scope: np.zeros(0, np.bool_) for scope in (ITEM, VALUE)}
        self._ready: Flags = np.zeros(0, np.bool_)  # items whose record and those of all its values are kept
        self.asker = b""
        """Key of the user's record, of the latest request that something was `lacking` for."""
        self._always: list[tuple[bytes, bytes]] = []  # scope and key of what is read for every request
        self._lacks: list[StoredRows] = []
        self._unready: Ints = np.zeros(0, np.int64)
        self._row_of: dict[str, int] = {}
        self._on_top: tuple[Happenings, list[StoredRows]] | None = None
        self._room_for(StoredRows(USER, _FIRST, _FIRST))

    def forget(self, changed: bytes | None) -> None:
        """Keep the records of these keys no longer (9 bytes each, one behind the other); None: no record."""
        if changed == b"":
            return
        if changed is None:
            self._ready[:] = self._fresh[ITEM][:] = self._fresh[VALUE][:] = False
            return
        keys = np.frombuffer(changed, _KEY)
        for scope, rows in ((ITEM, self.catalog.items), (VALUE, self.catalog.values)):
            found = rows.found(keys["hash"][keys["scope"] == scope].astype(np.int64))
            self._drop(scope, found[(found >= 0) & (found < self._fresh[scope].size)])

    def lacking(self, request: Request, taken: History | None = None) -> list[bytes]:
        """Keys of the records that `read_kept` needs for this request: those of the user and of everything,
        and what is not kept. `taken` is what the user has done beyond the records."""
        user, items = self.asked(request)
        self._on_top = None
        if taken is not None and len(taken):
            batch = happenings(taken, self.catalog, np.zeros(len(taken), np.int64))
            theirs = np.append(batch.items, batch.listed)
            self._on_top = (batch, self._parts(user, theirs))
            items = np.append(items, theirs)
        self._make_room()
        catalog = self.catalog.lookups()
        fresh = (self._fresh[ITEM], self._fresh[VALUE])
        self._unready, *rows = lacking_rows(items, self._ready, *fresh, *self._values(catalog))
        keys = ((ITEM, catalog.item_keys), (VALUE, catalog.value_keys))
        self._lacks = [
            StoredRows(scope, lacked, hashes[lacked])
            for (scope, hashes), lacked in zip(keys, rows, strict=True)
            if lacked.size and scope in self._kept
        ]
        self.asker = USER + user.astype(">i8").tobytes()
        always = ((EVERYTHING, _OF_EVERYTHING), (USER, self.asker))
        self._always = [record for record in always if record[0] in self._kept]
        return [key for _, key in self._always] + [key for part in self._lacks for key in part.named]

    def asked(self, request: Request) -> tuple[Ints, Ints]:
        """See `Carrier`; rows of ids that were met before are known without their hashes."""
        if self._latest is None or self._latest[0] is not request:
            known, count = self._row_of, len(request.items)
            try:
                items = np.fromiter(map(known.__getitem__, request.items), np.int64, count)
            except KeyError:
                new = [item for item in request.items if item not in known]
                known.update(zip(new, self.catalog.items.of(hash_list(new)).tolist(), strict=True))
                items = np.fromiter(map(known.__getitem__, request.items), np.int64, count)
            self._latest = (request, self.catalog.lookups(), (hash_list([request.user_id]), items))
        return self._latest[2]

    def read_kept(self, request: Request, stored: Mapping[bytes, bytes]) -> npt.NDArray[np.float32]:
        """As `Carrier.read`, from these records of what was lacking and from what is kept, with what the user
        has done beyond them on top."""
        return np.ascontiguousarray(self._read_kept(request, stored)[:, : len(self.definitions.names)])

    def outcomes_kept(self, request: Request, stored: Mapping[bytes, bytes]) -> npt.NDArray[np.float32]:
        """Outcomes of each candidate so far, and their smoothed rate, as float32[items, 2], in the same
        way."""
        return self._read_kept(request, stored)[:, len(self.definitions.names) :]

    def _read_kept(self, request: Request, stored: Mapping[bytes, bytes]) -> npt.NDArray[np.float32]:
        for scope, key in self._always:
            self._load_first(scope, key, stored.get(key))
        for part in self._lacks:
            super()._load(part, stored)
            self._fresh[part.scope][part.rows] = True
        self._ready[self._unready] = True
        if self._on_top is None:
            return self._features(request)
        batch, parts = self._on_top
        before = [(part, self._room_for(part)[part.rows]) for part in parts if part.scope in self._fresh]
        spaces = self.catalog.spaces()
        fold_only(self.definitions, self.catalog, self._states, batch, np.zeros(3, np.int64), spaces)
        features = self._features(request)
        for part, words in before:  # what is kept is what the store has
            self._room_for(part)[part.rows] = words
        return features

    def _load_first(self, scope: bytes, key: bytes, record: bytes | None) -> None:
        """Put a record into the first row of its scope."""
        states = self._states.users if scope == USER else self._states.everything
        if record is None:
            states[0] = 0
            return
        if len(record) != 8 * (1 + states.shape[1]) or record[:8] != self._head:
            part = StoredRows(scope, _FIRST, np.frombuffer(key, ">i8", 1, 1).astype(np.int64))
            raise self._foreign(part, [record], 8 * (1 + states.shape[1]))
        states[0] = np.frombuffer(record, np.int64, states.shape[1], 8)

    def _load(self, part: StoredRows, stored: Mapping[bytes, bytes]) -> Ints:
        """See `Carrier`; what is loaded for another purpose may be changed there."""
        if part.scope in self._fresh:
            self._make_room()
            self._drop(part.scope, part.rows)
        return super()._load(part, stored)

    def _drop(self, scope: bytes, rows: Ints) -> None:
        self._fresh[scope][rows] = False
        if scope == ITEM:
            self._ready[rows] = False
        elif rows.size:
            self._ready[:] = False  # whose values these are is looked up when an item is asked for again

    def _make_room(self) -> None:
        """Flags for all rows of the catalog."""
        counts = {ITEM: self.catalog.items.count, VALUE: self.catalog.values.count}
        for scope, count in counts.items():
            self._fresh[scope] = _grown(self._fresh[scope], count)
        self._ready = _grown(self._ready, self._fresh[ITEM].size)


def _grown(flags: Flags, size: int) -> Flags:
    return flags if flags.size >= size else np.append(flags, np.zeros(2 * size - flags.size, np.bool_))
