"""The stream and the request carrier: records lie in a store, as bytes by key; what a batch or a decision
needs is given, and a batch gives back what it changed. Kernels and declarations are those of the replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.errors import FeatureError
from pipelines.features.catalog import Catalog
from pipelines.features.definitions import Definitions
from pipelines.features.hashing import hash_text, hash_texts
from pipelines.features.history import History
from pipelines.features.kernel import read
from pipelines.features.program import Ints, States
from pipelines.features.replay import Probes, fold, happenings
from pipelines.features.rows import grown
from pipelines.features.state import UNUSED, Layouts, empty
from pipelines.features.words import query_terms

EVERYTHING, ITEM, VALUE, USER = b"e", b"i", b"v", b"u"
"""First byte of a key, by what the record is of; the hash follows, 8 bytes."""


@dataclass(frozen=True)
class Request:
    """A decision to be made: candidates for a user, at a moment (ms), perhaps for a query."""

    user_id: str
    items: Sequence[str]
    as_of: int
    query: str | None = None


@dataclass(frozen=True)
class Folded:
    """What a batch came to: the records that it changed, by key, what was read for its decisions, and how
    many happenings were applied, repeated and too late for some window (see `kernel.advance`)."""

    records: dict[bytes, bytes]
    probes: Probes
    tally: Ints


@dataclass(frozen=True)
class _Rows:
    """Records that are needed: rows of the states of one scope, and the hashes they are stored under."""

    scope: bytes
    rows: Ints
    hashes: Ints

    def named(self) -> list[bytes]:
        text = self.hashes.astype(">i8").tobytes()
        return [self.scope + text[i : i + 8] for i in range(0, len(text), 8)]


class Carrier:
    """Folds batches of events, and reads decisions, with records that are stored elsewhere.

    A record is the version of its layout (8 bytes) and the words of the layout, see `Definitions.layouts`;
    a key is a letter and a hash. Which records are needed depends on the batch or request and on the
    catalog alone. One carrier serves one caller at a time: it works in arrays of its own.
    """

    def __init__(self, definitions: Definitions, catalog: Catalog) -> None:
        """Nothing is read or folded yet."""
        self.definitions = definitions
        self.catalog = catalog
        layouts = definitions.layouts
        self._version = np.frombuffer(bytes.fromhex(layouts.hash), np.int64)[0]
        kinds = (layouts.everything, layouts.item, layouts.value, layouts.user)
        self._states = States(*starmap(empty, zip(kinds, (1, 0, 0, 0), strict=True)))
        scopes = zip((EVERYTHING, ITEM, VALUE, USER), kinds, strict=True)
        self._kept = {scope for scope, layout in scopes if layout.names != UNUSED}
        self._newest = np.iinfo(np.int64).min

    def needed(self, history: History) -> list[bytes]:
        """Keys of the records that `advance` needs for this batch."""
        users, _ = np.unique(history.users, return_inverse=True)
        items = self.catalog.items.of(np.append(history.items, history.listed))
        return [key for part in self._parts(users, items) for key in part.named()]

    def advance(self, history: History, stored: Mapping[bytes, bytes]) -> Folded:
        """Fold a batch into the stored records that it needs; the others have no record yet.

        Raises FeatureError for a record of another layout.
        """
        users, rows = np.unique(history.users, return_inverse=True)
        batch = happenings(history, self.catalog, rows.astype(np.int64))
        parts = self._parts(users, np.append(batch.items, batch.listed))
        before = [self._load(part, stored) for part in parts]
        tally = np.zeros(3, np.int64)
        probes = fold(self.definitions, self.catalog, self._states, history, batch, tally, self._newest)
        if len(history):
            self._newest = max(self._newest, int(history.arrived[-1]))
        changed: dict[bytes, bytes] = {}
        for part, words in zip(parts, before, strict=True):
            changed |= self._changed(part, words)
        return Folded(changed, probes, tally)

    def needed_for(self, request: Request) -> list[bytes]:
        """Keys of the records that `read` needs for this request."""
        return [key for part in self._parts(*self._asked(request)) for key in part.named()]

    def read(self, request: Request, stored: Mapping[bytes, bytes]) -> npt.NDArray[np.float32]:
        """Features of the candidates as float32[items, names], as the replay reads them for a decision that
        shows these items in this order. Raises FeatureError for a record of another layout."""
        user, items = self._asked(request)
        for part in self._parts(user, items):
            self._load(part, stored)
        features = read(
            self.definitions.program,
            self._states,
            self.catalog.lookups(),
            self.catalog.spaces(),
            0,
            items,
            np.arange(1, items.size + 1),
            query_terms(request.query),
            request.as_of,
        )
        return np.ascontiguousarray(features[:, : len(self.definitions.names)])

    def _asked(self, request: Request) -> tuple[Ints, Ints]:
        user = np.array([hash_text(request.user_id)])
        return user, self.catalog.items.of(hash_texts(pa.array(request.items, pa.string())))

    def _parts(self, users: Ints, items: Ints) -> list[_Rows]:
        """The records of these users (hashes), items (rows, -1 for none), of all values that the items ever
        had, and of everything."""
        catalog = self.catalog.lookups()
        rows = np.unique(items[items >= 0])
        versions = _spans(catalog.versions[rows], catalog.versions[rows + 1])
        values = [
            catalog.value_rows[_spans(starts[versions], starts[versions + 1])]
            for starts in catalog.value_starts
        ]
        found = np.unique(np.concatenate([np.zeros(0, np.int64), *values]))
        nothing = np.zeros(1, np.int64)
        parts = (
            _Rows(EVERYTHING, nothing, nothing),
            _Rows(ITEM, rows, catalog.item_keys[rows]),
            _Rows(VALUE, found, catalog.value_keys[found]),
            _Rows(USER, np.arange(users.size), users),
        )
        return [part for part in parts if part.scope in self._kept]

    def _load(self, part: _Rows, stored: Mapping[bytes, bytes]) -> Ints:
        """Put the records into the states; their words come back."""
        states = self._room_for(part)
        new = self._version.tobytes() + bytes(8 * states.shape[1])
        records = [stored.get(key, new) for key in part.named()]
        for key, record in zip(part.named(), records, strict=True):
            if len(record) != len(new) or record[:8] != new[:8]:
                raise FeatureError(
                    f"the record {key.hex()} was written under the layout {record[:8].hex()}, these "
                    f"features need {self.definitions.layouts.hash}: build the records again from the history"
                )
        words = np.frombuffer(b"".join(records), np.int64).reshape(-1, 1 + states.shape[1])[:, 1:]
        states[part.rows] = words
        return words

    def _room_for(self, part: _Rows) -> Ints:
        """The states of the part's scope, with a row for each that it names."""
        name = {EVERYTHING: "everything", ITEM: "items", VALUE: "values", USER: "users"}[part.scope]
        counts = {ITEM: self.catalog.items.count, VALUE: self.catalog.values.count}
        rows = counts.get(part.scope, part.rows.size)
        states: Ints = grown(getattr(self._states, name), rows)
        self._states = self._states._replace(**{name: states})
        return states

    def _changed(self, part: _Rows, before: Ints) -> dict[bytes, bytes]:
        words = self._room_for(part)[part.rows]
        rows = np.flatnonzero((words != before).any(axis=1))
        head = np.full((rows.size, 1), self._version)
        text, size = np.hstack([head, words[rows]]).tobytes(), 8 * (1 + words.shape[1])
        keys = _Rows(part.scope, rows, part.hashes[rows]).named()
        return {key: text[i * size : (i + 1) * size] for i, key in enumerate(keys)}


def record_bytes(layouts: Layouts) -> dict[str, int]:
    """Bytes of a stored record, by what it is of; what keeps nothing is left out."""
    kinds = {
        "everything": layouts.everything,
        "item": layouts.item,
        "value": layouts.value,
        "user": layouts.user,
    }
    return {whose: 8 + layout.itemsize for whose, layout in kinds.items() if layout.names != UNUSED}


def _spans(starts: Ints, ends: Ints) -> Ints:
    """All numbers from each start to its end (excluded), one span behind the other."""
    sizes = ends - starts
    before = np.append(0, np.cumsum(sizes)[:-1])
    return np.asarray(np.arange(sizes.sum()) + np.repeat(starts - before, sizes), np.int64)
