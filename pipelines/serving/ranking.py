"""The answer itself: candidates in, the order out. No clock, no input or output.

What was not known is named, and the rest is answered as well as it can be:
`unknown_user` there is no record of the user; `unknown_items` some items are not in the catalog;
`store_unavailable` the online store could not be read, so everybody counts as new; `store_layout` it holds
records of other features, with the same outcome; `fewer_candidates` we know fewer items than asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipelines.errors import FeatureError, LakePulseError
from pipelines.features.carriers import USER, Request
from pipelines.features.history import History
from pipelines.features.ids import hash_id
from pipelines.features.kept import KeptCarrier
from pipelines.serving.accepted import Accepted
from pipelines.serving.in_charge import InCharge
from pipelines.serving.ports import Fences, Snapshot, Store

UNKNOWN_USER, UNKNOWN_ITEMS, FEWER_CANDIDATES = "unknown_user", "unknown_items", "fewer_candidates"
STORE_UNAVAILABLE, STORE_LAYOUT = "store_unavailable", "store_layout"


class Ranked(msgspec.Struct, frozen=True):
    """Items in the order to be shown, with their scores and the features they were scored by."""

    items: list[str]
    scores: NDArray[np.float32]
    features: NDArray[np.float32]
    fences: Fences
    degraded: list[str]


@dataclass
class Read:
    """Records for a request: what the store has, with what this process took on top."""

    records: Mapping[bytes, bytes]
    fences: Fences
    degraded: list[str] = field(default_factory=list)


class Ranking:
    """Ranks with one model version and one state of the catalog; one caller at a time."""

    def __init__(self, carrier: KeptCarrier, known: frozenset[str], model: InCharge) -> None:
        """`known` are the ids of the catalog's items."""
        self.carrier, self.known, self.model = carrier, known, model
        self._base = carrier.catalog.items.count
        self._generation: object = None

    @property
    def strangers(self) -> int:
        """Items that requests named and the catalog does not know, as far as they take up memory."""
        return self.carrier.catalog.items.count - self._base

    def rank(self, request: Request, store: Store, accepted: Accepted) -> Ranked:
        """The request's items, best first; equal scores keep the order of the request."""
        read, features = self._read(request, store, accepted)
        features = self.carrier.definitions.as_served(features)
        scores = self.model.score(features)
        order = np.argsort(-scores, kind="stable")
        if (self.carrier.asked(request)[1] >= self._base).any():
            read.degraded.append(UNKNOWN_ITEMS)
        items = [request.items[place] for place in order.tolist()]
        return Ranked(items, scores[order], features[order], read.fences, read.degraded)

    def _read(self, request: Request, store: Store, accepted: Accepted) -> tuple[Read, NDArray[np.float32]]:
        """What is known for the request, and its features."""
        user = request.user_id
        try:
            if accepted.may_have(user):
                accepted.pass_fences(user, store.fences())
            taken = accepted.of(user)
            found = self._newer(request, store, taken)
            read = Read(found.records, found.fences)
            if taken is None and self.carrier.asker not in read.records:
                read.degraded.append(UNKNOWN_USER)
            return read, self.carrier.read_kept(request, read.records)
        except LakePulseError:
            self._generation = None  # the store cannot be read, or holds records of other features
        read = self.records(request, store, accepted)
        return read, self.features(request, read)

    def _newer(self, request: Request, store: Store, taken: History | None = None) -> Snapshot:
        """The records that the carrier does not keep, of the request and of what its user has done beyond
        them."""

        def lacking(changed: bytes | None) -> list[bytes]:
            self.carrier.forget(changed)
            return self.carrier.lacking(request, taken)

        found = store.read_since(self._generation, lacking)
        self._generation = found.generation
        return found

    def outcomes(self, request: Request, store: Store) -> list[float]:
        """How many outcomes each of the request's items had so far. Raises LakePulseError when the store
        cannot be read."""
        found = self._newer(request, store)
        counts: list[float] = self.carrier.outcomes_kept(request, found.records)[:, 0].tolist()
        return counts

    def records(self, request: Request, store: Store, accepted: Accepted) -> Read:
        """What the request needs, with what this process has taken from its user."""
        carrier, user = self.carrier, request.user_id
        needed = carrier.needed_for(request)
        taken = accepted.of(user)
        if taken is not None:
            needed = list(dict.fromkeys([*needed, *carrier.needed(taken)]))
        try:
            found = store.read(needed)
            read = Read(found.records, found.fences)
        except LakePulseError:
            read = Read({}, {}, [STORE_UNAVAILABLE])
        if taken is not None:
            accepted.pass_fences(user, read.fences)
            if (rest := accepted.of(user)) is not None:
                read = self._on_top(read, rest)
        if user_key(user) not in read.records and not read.degraded:
            read.degraded.append(UNKNOWN_USER)
        return read

    def _on_top(self, read: Read, taken: History) -> Read:
        try:
            folded, _ = self.carrier.update(taken, read.records)
        except FeatureError:
            folded, _ = self.carrier.update(taken, {})
            return Read(folded, read.fences, [*read.degraded, STORE_LAYOUT])
        return Read({**read.records, **folded}, read.fences, read.degraded)

    def features(self, request: Request, read: Read) -> NDArray[np.float32]:
        """Features of the request's items from these records; from none when they have another layout."""
        try:
            return self.carrier.read(request, read.records)
        except FeatureError:
            if not read.records:
                raise
            read.records = {}
            read.degraded.append(STORE_LAYOUT)
            return self.carrier.read(request, {})


def user_key(user_id: str) -> bytes:
    """The key of a user's record."""
    return USER + hash_id(user_id).to_bytes(8, "big", signed=True)
