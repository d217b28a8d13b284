"""Records of items and values that stay in this process from one reading to the next, for a scorer of one's
own or a notebook; the scoring service keeps them in its kernels' rows instead (`features.kept`)."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.io.changes import NOTED
from pipelines.io.online_store import OnlineStore

_KEY = 9  # bytes of a key of the noted kinds


class KeptRecords:
    """Reads a store, and again only what the store says has changed. One thread uses it."""

    def __init__(self, store: OnlineStore) -> None:
        """Nothing is kept yet."""
        self._store = store
        self._kept: dict[bytes, bytes | None] = {}
        self._generation: object = None

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The record of each key as `OnlineStore.read` would give it, None where there is none."""
        kept = self._kept
        if self._store.is_still(self._generation):
            try:
                return list(map(kept.__getitem__, keys))
            except KeyError:
                pass

        asked: list[bytes] = []

        def lacking(changed: bytes | None) -> list[bytes]:
            if changed is None:
                kept.clear()
            elif changed:
                for at in range(0, len(changed), _KEY):
                    kept.pop(changed[at : at + _KEY], None)
            asked[:] = [key for key in keys if key not in kept]
            return asked

        found = self._store.read_since(self._generation, lacking)
        self._generation, get = found.generation, found.records.get
        kept.update((key, get(key)) for key in asked)
        answer = [kept[key] for key in keys]
        for key in asked:
            if key[:1] not in NOTED:
                kept.pop(key, None)
        return answer
