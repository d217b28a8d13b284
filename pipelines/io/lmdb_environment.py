"""One LMDB folder of an online store: a database for each kind of record, and a map that grows."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import lmdb
import msgspec

from pipelines.errors import StoreError
from pipelines.io.online_store import KINDS, Place, other_version

FENCES = b"fences"
"""Key of all fences in the database `meta`."""

_META, _VERSION = b"meta", b"version"
_MOST_READERS = 512


def encoded(fences: Mapping[Place, int]) -> bytes:
    """Fences as they are stored."""
    return msgspec.json.encode([(*place, offset) for place, offset in fences.items()])


def _broken(path: Path, problem: lmdb.Error) -> StoreError:
    return StoreError(
        f"the online store {path} cannot be used: {problem}; is the disk full, may this user write there? "
        "`./spark-submit.sh rebuild_store` makes a new one"
    )


class Environment:
    """One LMDB folder, opened once in a process however many stores use it."""

    _open: ClassVar[dict[Path, Environment]] = {}
    _opening = threading.Lock()

    def __init__(self, path: Path, map_bytes: int) -> None:
        self.path, self._users, self._lock = path, 0, threading.RLock()
        self._lmdb = lmdb.open(
            str(path),
            map_size=map_bytes,
            create=map_bytes > 0,
            max_dbs=len(KINDS) + 1,
            max_readers=_MOST_READERS,
            metasync=False,
        )
        self._lmdb.reader_check()
        names = (_META, *KINDS)
        # In transactions of its own, each: handles would end with a transaction that only reads.
        dbs = {name: self._lmdb.open_db(name, create=map_bytes > 0) for name in names}
        self.meta = dbs[_META]
        self._fences: tuple[bytes, dict[Place, int]] = (b"[]", {})
        self.kinds = {kind: dbs[kind] for kind in KINDS}

    @classmethod
    def opened(cls, path: Path, map_bytes: int, version: str) -> Environment:
        """The folder, to be given back by `release`: a new one with a map of this size, or one that is there
        for 0. Raises FileNotFoundError when it is gone, StoreError for another version."""
        with cls._opening:
            known = cls._open.get(path)
            if known is None:
                if map_bytes == 0 and not (path / "data.mdb").is_file():
                    raise FileNotFoundError(path)
                try:
                    known = cls._open[path] = Environment(path, map_bytes)
                except lmdb.Error as problem:
                    if not (path / "data.mdb").is_file():
                        raise FileNotFoundError(path) from problem
                    raise _broken(path, problem) from problem
            known._users += 1
        if map_bytes:
            with known.transaction(write=True) as txn:
                txn.put(_VERSION, version.encode(), db=known.meta)
        with known.transaction() as txn:
            found = (txn.get(_VERSION, db=known.meta) or b"").decode()
        if found != version:
            known.release()
            raise other_version(str(path), found, version)
        return known

    def release(self) -> None:
        """One user less; without any it is closed."""
        with Environment._opening:
            self._users -= 1
            if self._users == 0:
                del Environment._open[self.path]
                self._lmdb.close()

    @contextmanager
    def transaction(self, write: bool = False) -> Iterator[Any]:
        """A transaction; one at a time in this process, since the map may only change without any."""
        with self._lock:
            try:
                with self._begun(write) as txn:
                    yield txn
            except lmdb.MapFullError:
                raise
            except lmdb.Error as problem:
                raise _broken(self.path, problem) from problem

    def _begun(self, write: bool) -> Any:
        try:
            return self._lmdb.begin(write=write)
        except lmdb.MapResizedError:  # another process has doubled it
            self._lmdb.set_mapsize(0)
            return self._lmdb.begin(write=write)

    def fences_in(self, txn: Any) -> dict[Place, int]:
        """The fences that the transaction sees."""
        text = txn.get(FENCES, b"[]", self.meta)
        known, fences = self._fences
        if text != known:
            fences = {(topic, partition): offset for topic, partition, offset in msgspec.json.decode(text)}
            self._fences = (text, fences)
        return dict(fences)

    def make_room(self) -> None:
        """Free what readers that died had kept; where there are none, double the map."""
        with self._lock:
            if self._lmdb.reader_check() == 0:
                self._lmdb.set_mapsize(2 * self._lmdb.info()["map_size"])
