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
from pipelines.io.changes import ANY, GENERATIONS
from pipelines.io.moment import Moment
from pipelines.io.online_store import KINDS, Place, other_version

FENCES = b"fences"
"""Key of all fences in the database `meta`."""

_META, _VERSION, _CHANGES, _GENERATION = b"meta", b"version", b"changes", b"generation"
_MOST_READERS = 512


def encoded(fences: Mapping[Place, int]) -> bytes:
    """Fences as they are stored."""
    return msgspec.json.encode([(*place, offset) for place, offset in fences.items()])


def _broken(path: Path, problem: lmdb.Error) -> StoreError:
    return StoreError(
        f"the online store {path} cannot be used: {problem}; is the disk full, may this user write there? "
        "`./spark-submit.sh rebuild_store` makes a new one"
    )


def _number(generation: int) -> bytes:
    return generation.to_bytes(8, "big")


class Environment:
    """One LMDB folder, opened once in a process however many stores use it."""

    _open: ClassVar[dict[Path, Environment]] = {}
    _opening = threading.Lock()

    def __init__(self, path: Path, map_bytes: int) -> None:
        self.path, self.name, self._users, self._lock = path, path.name, 0, threading.RLock()
        self._lmdb = lmdb.open(
            str(path),
            map_size=map_bytes,
            create=map_bytes > 0,
            max_dbs=len(KINDS) + 2,
            max_readers=_MOST_READERS,
            metasync=False,
        )
        self._lmdb.reader_check()
        self.moment = Moment(path / "moment")
        names = (_META, _CHANGES, *KINDS)
        # In transactions of its own, each: handles would end with a transaction that only reads.
        dbs = {name: self._lmdb.open_db(name, create=map_bytes > 0) for name in names}
        self.meta, self._changes = dbs[_META], dbs[_CHANGES]
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
                self.moment.close()

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

    def generation_in(self, txn: Any) -> int:
        """How many transactions have written up to what the transaction sees."""
        return int.from_bytes(txn.get(_GENERATION, b"", self.meta), "big")

    def changed_in(self, txn: Any, since: int, now: int) -> bytes | None:
        """Keys of noted kinds that the generations after `since` up to `now` have changed, one behind the
        other; None when that is not known."""
        if not 0 <= now - since < GENERATIONS:
            return None
        parts = [txn.get(_number(one), ANY, self._changes) for one in range(since + 1, now + 1)]
        return None if ANY in parts else b"".join(parts)

    def note_changed(self, txn: Any, entry: bytes) -> int:
        """Count one generation more, with this entry in the log of changes."""
        number = self.generation_in(txn) + 1
        txn.put(_GENERATION, _number(number), db=self.meta)
        txn.put(_number(number), entry, db=self._changes)
        txn.delete(_number(max(0, number - GENERATIONS)), db=self._changes)
        return number

    def make_room(self) -> None:
        """Free what readers that died had kept; where there are none, double the map."""
        with self._lock:
            if self._lmdb.reader_check() == 0:
                self._lmdb.set_mapsize(2 * self._lmdb.info()["map_size"])
