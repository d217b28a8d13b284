"""The stream and the request carrier: records lie in a store, as bytes by key; what a batch or a decision
needs is given, and a batch gives back what it changed. Kernels and declarations are those of the replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import starmap

import msgspec
import numpy as np
import numpy.typing as npt

from pipelines.errors import FeatureError
from pipelines.features.catalog import Catalog
from pipelines.features.definitions import Definitions
from pipelines.features.history import History
from pipelines.features.ids import hash_list
from pipelines.features.lookups import Lookups
from pipelines.features.program import Ints, States
from pipelines.features.reading import read
from pipelines.features.replay import Probes, fold, fold_only, happenings
from pipelines.features.rows import grown
from pipelines.features.state import UNUSED, Layouts, empty
from pipelines.features.words import query_terms

EVERYTHING, ITEM, VALUE, USER = b"e", b"i", b"v", b"u"
"""First byte of a key, by what the record is of; the hash follows, 8 bytes."""


class Request(msgspec.Struct, frozen=True):
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
class StoredRows:
    """Records that are needed: rows of the states of one scope, and the hashes they are stored under."""

    scope: bytes
    rows: Ints
    hashes: Ints

    @cached_property
    def named(self) -> list[bytes]:
        """Their keys."""
        text, scope = self.hashes.astype(">i8").tobytes(), self.scope
        return [scope + text[i : i + 8] for i in range(0, len(text), 8)]


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
        self._head = bytes.fromhex(layouts.hash)
        self._version = np.frombuffer(self._head, np.int64)[0]
        kinds = (layouts.everything, layouts.item, layouts.value, layouts.user)
        self._states = States(*starmap(empty, zip(kinds, (1, 0, 0, 0), strict=True)))
        scopes = zip((EVERYTHING, ITEM, VALUE, USER), kinds, strict=True)
        self._kept = {scope for scope, layout in scopes if layout.names != UNUSED}
        self._newest = np.iinfo(np.int64).min
        self._latest: tuple[Request, Lookups, tuple[Ints, Ints]] | None = None
        self._latest_parts: tuple[object, list[StoredRows]] | None = None
        self._valued: tuple[Ints, Ints, Ints] | None = None

    def needed(self, history: History) -> list[bytes]:
        """Keys of the records that `advance` needs for this batch."""
        users, _ = np.unique(history.users, return_inverse=True)
        items = self.catalog.items.of(np.append(history.items, history.listed))
        return [key for part in self._parts(users, items) for key in part.named]

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
        return Folded(self._all_changed(parts, before), probes, tally)

    def update(self, history: History, stored: Mapping[bytes, bytes]) -> tuple[dict[bytes, bytes], Ints]:
        """The records that `advance` changes, and its tally, without a look at the decisions: no vectors are
        needed."""
        users, rows = np.unique(history.users, return_inverse=True)
        batch = happenings(history, self.catalog, rows.astype(np.int64))
        parts = self._parts(users, np.append(batch.items, batch.listed))
        before = [self._load(part, stored) for part in parts]
        tally = np.zeros(3, np.int64)
        fold_only(self.definitions, self.catalog, self._states, batch, tally)
        return self._all_changed(parts, before), tally

    def needed_for(self, request: Request) -> list[bytes]:
        """Keys of the records that `read` needs for this request."""
        return [key for part in self._asked_parts(request) for key in part.named]

    def read(self, request: Request, stored: Mapping[bytes, bytes]) -> npt.NDArray[np.float32]:
        """Features of the candidates as float32[items, names], as the replay reads them for a decision that
        shows these items in this order. Raises FeatureError for a record of another layout."""
        for part in self._asked_parts(request):
            self._load(part, stored)
        return np.ascontiguousarray(self._features(request)[:, : len(self.definitions.names)])

    def _features(self, request: Request) -> npt.NDArray[np.float32]:
        """What the kernel reads for the request from the states as they are now: features, and behind them
        the baselines of `Probes`."""
        _, items = self.asked(request)
        features: npt.NDArray[np.float32] = read(
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
        return features

    def asked(self, request: Request) -> tuple[Ints, Ints]:
        """The user's hash and the items' rows of a request; kept for its next question."""
        kept = self._latest
        if kept is None or kept[0] is not request or kept[1] is not self.catalog.lookups():
            user, items = hash_list([request.user_id]), self.catalog.items.of(hash_list(request.items))
            kept = self._latest = (request, self.catalog.lookups(), (user, items))
        return kept[2]

    def _asked_parts(self, request: Request) -> list[StoredRows]:
        """The records of a request; kept, too."""
        asked = self.asked(request)
        if self._latest_parts is None or self._latest_parts[0] is not asked:
            self._latest_parts = (asked, self._parts(*asked))
        return self._latest_parts[1]

    def _parts(self, users: Ints, items: Ints) -> list[StoredRows]:
        """The records of these users (hashes), items (rows, -1 for none), of all values that the items ever
        had, and of everything."""
        catalog = self.catalog.lookups()
        rows = np.unique(items[items >= 0])
        starts, values = self._values(catalog)
        valued = rows[rows < starts.size - 1]  # the others are only met in events
        found = np.unique(values[_spans(starts[valued], starts[valued + 1])])
        nothing = np.zeros(1, np.int64)
        parts = (
            StoredRows(EVERYTHING, nothing, nothing),
            StoredRows(ITEM, rows, catalog.item_keys[rows]),
            StoredRows(VALUE, found, catalog.value_keys[found]),
            StoredRows(USER, np.arange(users.size), users),
        )
        return [part for part in parts if part.scope in self._kept]

    def _values(self, catalog: Lookups) -> tuple[Ints, Ints]:
        """(starts by item, rows of all values that the item ever had), for all items of the catalog."""
        if self._valued is None or self._valued[0] is not catalog.value_rows:
            owners, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
            item_of = np.repeat(np.arange(catalog.versions.size - 1), np.diff(catalog.versions))
            for ends in catalog.value_starts:
                owners.append(np.repeat(item_of, np.diff(ends)))
                found.append(catalog.value_rows[ends[0] : ends[-1]])
            pairs = np.unique(np.stack([np.concatenate(owners), np.concatenate(found)]), axis=1)
            counts = np.bincount(pairs[0], minlength=catalog.versions.size - 1)
            self._valued = (
                catalog.value_rows,
                np.append(0, np.cumsum(counts)),
                np.ascontiguousarray(pairs[1]),
            )
        return self._valued[1:]

    def _load(self, part: StoredRows, stored: Mapping[bytes, bytes]) -> Ints:
        """Put the records into the states; their words come back."""
        states = self._room_for(part)
        new = self._head + bytes(8 * states.shape[1])
        records = [stored.get(key, new) for key in part.named]
        if set(map(len, records)) - {len(new)}:
            raise self._foreign(part, records, len(new))
        words = np.frombuffer(b"".join(records), np.int64).reshape(-1, 1 + states.shape[1])
        if (words[:, 0] != self._version).any():
            raise self._foreign(part, records, len(new))
        states[part.rows] = words[:, 1:]
        return words[:, 1:]

    def _foreign(self, part: StoredRows, records: list[bytes], size: int) -> FeatureError:
        """The refusal of the first record of another layout."""
        found = zip(part.named, records, strict=True)
        key, record = next((k, r) for k, r in found if len(r) != size or r[:8] != self._head)
        return FeatureError(
            f"the record {key.hex()} was written under the layout {record[:8].hex()}, these "
            f"features need {self.definitions.layouts.hash}: build the records again from the history"
        )

    def _room_for(self, part: StoredRows) -> Ints:
        """The states of the part's scope, with a row for each that it names."""
        name = {EVERYTHING: "everything", ITEM: "items", VALUE: "values", USER: "users"}[part.scope]
        counts = {ITEM: self.catalog.items.count, VALUE: self.catalog.values.count}
        rows = counts.get(part.scope, part.rows.size)
        states: Ints = grown(getattr(self._states, name), rows)
        self._states = self._states._replace(**{name: states})
        return states

    def _all_changed(self, parts: list[StoredRows], before: list[Ints]) -> dict[bytes, bytes]:
        changed: dict[bytes, bytes] = {}
        for part, words in zip(parts, before, strict=True):
            changed |= self._changed(part, words)
        return changed

    def _changed(self, part: StoredRows, before: Ints) -> dict[bytes, bytes]:
        words = self._room_for(part)[part.rows]
        rows = np.flatnonzero((words != before).any(axis=1))
        head = np.full((rows.size, 1), self._version)
        text, size = np.hstack([head, words[rows]]).tobytes(), 8 * (1 + words.shape[1])
        keys = StoredRows(part.scope, rows, part.hashes[rows]).named
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
