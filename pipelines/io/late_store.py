"""The online store for a service that may start before there is one, or outlive it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipelines.errors import StoreError
from pipelines.features.definitions import Definitions
from pipelines.io.online_store import OnlineStore, Place, Snapshot, open_store
from pipelines.io.packing import Packer
from pipelines.settings import Settings

AGAIN_S = 1.0
Found = TypeVar("Found")


class LateStore:
    """Opens the store when it is first read; a failure is remembered for a second, so that nobody waits for
    it."""

    def __init__(self, settings: Settings, definitions: Definitions) -> None:
        """Nothing is opened yet, but kernels are loaded."""
        Packer(definitions)
        self._settings, self._definitions = settings, definitions
        self._store: OnlineStore | None = None
        self._problem: StoreError | None = None
        self._again = 0.0

    def read(self, keys: Sequence[bytes]) -> Snapshot:
        """See `OnlineStore.read`. Raises StoreError while there is none, as all of these do."""
        return self._asked(lambda store: store.read(keys))

    def read_since(self, generation: object, lacking: Callable[[bytes | None], Sequence[bytes]]) -> Snapshot:
        """See `OnlineStore.read_since`."""
        return self._asked(lambda store: store.read_since(generation, lacking))

    def fences(self) -> dict[Place, int]:
        """See `OnlineStore.latest_fences`: enough to let go of what is folded."""
        return self._asked(lambda store: store.latest_fences())

    def _asked(self, question: Callable[[OnlineStore], Found]) -> Found:
        now = time.monotonic()
        if self._problem is not None and now < self._again:
            raise self._problem
        try:
            if self._store is None:
                self._store = open_store(self._settings, self._definitions, readonly=True)
            found = question(self._store)
        except StoreError as problem:
            self._problem, self._again = problem, now + AGAIN_S
            self.close()
            raise
        self._problem = None
        return found

    def close(self) -> None:
        """Let go of the store; the next reading opens it again."""
        if self._store is not None:
            self._store.close()
            self._store = None
