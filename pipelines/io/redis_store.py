"""The online store on a Redis or Valkey server, for services on several machines.

Keys begin with the prefix of the settings, in braces, so that a cluster keeps them together:
`{p}:current` names the store in use, `{p}:<store>:<kind>` are its records, one hash for each kind. A write is
one MULTI that watches the name, the fences and `{p}:hold`, with which a rebuilt store keeps writers waiting.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import valkey
from valkey.exceptions import ConnectionError, TimeoutError, ValkeyError, WatchError

from pipelines.errors import FenceError, SettingsError, StoreError
from pipelines.io.changes import ANY
from pipelines.io.online_store import KINDS, Changes, OnlineStore, Place, Snapshot, Stats, other_version
from pipelines.io.packing import COUNT, PACKED, Packer
from pipelines.io.redis_scripts import GENERATION, LET_GO, NEVER, READ, Generation, fences_of, queue_changed
from pipelines.sections import Store

if TYPE_CHECKING:
    from pipelines.features.definitions import Definitions

PAGE = 1_000  # records that a scan reads at once
SAMPLES = PAGE  # records from which the server estimates how many bytes all take
HOLD_S = 120  # seconds after which a held store is free again, whatever became of the holder
_TIMEOUT_S = 5.0
_POLL_S = 0.02
_TRIES = 3  # reads that are overtaken by a write, before everything is read at once


class RedisStore(OnlineStore):
    """A store of a server. Threads may share it."""

    def __init__(
        self,
        kept: Store,
        version: str,
        readonly: bool = True,
        definitions: Definitions | None = None,
        *,
        is_beside: bool = False,
    ) -> None:
        """Take up the store in use, or with `is_beside` a new one that nobody uses yet. Records of users of
        these definitions take few bytes. Raises StoreError when the server does not answer, for no store, if
        it is only to be read, and for one of another version."""
        if not kept.url:
            raise SettingsError(
                "store.kind is redis and store.url is empty: give the server's redis://host:port"
            )
        self._url = kept.url.rpartition("@")[2]
        self._root = self._place = f"{{{kept.prefix}}}:"
        self._version, self._readonly, self._token = version, readonly, uuid.uuid4().hex
        limits = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
        self._client: Any = valkey.Valkey.from_url(kept.url, **limits)
        self._read = self._client.register_script(READ)
        self._packer, self._packs_for, self._lock = Packer(definitions), "", threading.RLock()
        self._beside = self._create() if is_beside else ""
        if not readonly and not is_beside:
            self._begin()
        self._latest = self.fences()

    def read(self, keys: Sequence[bytes]) -> Snapshot:
        """See `OnlineStore.read`."""
        return self._seen(keys)[0]

    def read_since(self, generation: object, lacking: Callable[[bytes | None], Sequence[bytes]]) -> Snapshot:
        """See `OnlineStore.read_since`. One round trip, a second one when one of the records in question has
        changed meanwhile."""
        if not isinstance(generation, Generation):
            return self.read(lacking(None))
        keys = lacking(b"")
        for _ in range(_TRIES):
            snapshot, changed, generation = self._seen(keys, generation)
            asked = set(keys)
            if changed == b"" or asked.issuperset(keys := lacking(changed)):
                return snapshot
        return self.read(lacking(None))

    def _seen(
        self, keys: Sequence[bytes], since: Generation = NEVER
    ) -> tuple[Snapshot, bytes | None, Generation]:
        """What is there now, the keys that have changed since that generation, and which one this is."""
        args: list[Any] = [self._beside, self._root, since.store, since.number, *keys]
        with self._answering():
            answer = self._read(keys=[self._root + "current"], args=args)
        if answer[0] is None:
            raise StoreError(
                f"no online store {self._root}current on {self._url}: update_online_store makes it "
                "(`lakepulse up`, or `./spark-submit.sh update_online_store`)"
            )
        name, (version, count, number), fences, found, changed = answer
        if (version or b"").decode() != self._version:
            raise other_version(f"{self._root}{name.decode()}", (version or b"").decode(), self._version)
        packer = self._packer_of(name.decode(), int(count or 0))
        if packer is None:
            return self._seen(keys, since)
        records = {
            key: packer.unpacked(key[:1], value) if key[:1] in PACKED else value
            for key, value in zip(keys, found, strict=True)
            if value is not None
        }
        self._latest = fences_of(dict(zip(fences[::2], fences[1::2], strict=True)))
        now = Generation(name.decode(), int(number or 0))
        return Snapshot(records, self._latest, now), None if ANY in changed else b"".join(changed), now

    def fences(self) -> dict[Place, int]:
        """See `OnlineStore.fences`."""
        return self.read([]).fences

    def latest_fences(self) -> dict[Place, int]:
        """See `OnlineStore.latest_fences`."""
        return self._latest

    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """See `OnlineStore.scan`."""
        kind = prefix[:1]
        with self._answering():
            name = self._name()
            hash_ = self._of(name, kind.decode())
            fields = {field for field, _ in self._client.hscan_iter(hash_, count=PAGE)}
        chosen = sorted(f for f in fields if f.startswith(prefix[1:]) and kind + f > after)
        for start in range(0, len(chosen), PAGE):
            page = chosen[start : start + PAGE]
            with self._answering():
                values = self._client.hmget(hash_, page)
                count = self._client.hget(self._of(name, "meta"), COUNT)
            packer = self._packer_of(name, int(count or 0))
            if packer is None:
                return
            yield from (
                (kind + f, packer.unpacked(kind, v))
                for f, v in zip(page, values, strict=True)
                if v is not None
            )

    def _packer_of(self, name: str, count: int) -> Packer | None:
        """The packer, with that many numbers of this store; None when the store is gone."""
        with self._lock, self._answering():
            if self._packs_for != name:
                self._packer, self._packs_for = self._packer.anew(), name
            if names := self._packer.lacking(count):
                blocks = self._client.hmget(self._of(name, "meta"), names)
                if None in blocks:
                    return None
                self._packer.take(blocks)
            return self._packer

    def _change(self, changes: Changes, fences: Mapping[Place, int], expected: Mapping[Place, int]) -> None:
        """See `OnlineStore.write`."""
        with self._answering(), self._client.pipeline() as pipe:
            while not self._written(pipe, changes, fences, expected):
                time.sleep(_POLL_S)

    def _written(
        self,
        pipe: Any,
        changes: Changes,
        fences: Mapping[Place, int],
        expected: Mapping[Place, int],
    ) -> bool:
        """Try to write; False when somebody holds the store, or wrote in the same moment."""
        pipe.watch(self._root + "current", self._root + "hold")
        name = self._beside or (pipe.get(self._root + "current") or b"").decode()
        holder = (pipe.get(self._root + "hold") or b"").decode()
        meta = self._of(name, "meta")
        pipe.watch(self._of(name, "fences"), meta)
        found = fences_of(pipe.hgetall(self._of(name, "fences")))
        if not self._beside and holder not in ("", self._token):
            pipe.unwatch()
            return False
        if found != dict(expected):
            raise FenceError(
                f"the fences of {self._root}{name} are {found}, not {dict(expected)} as expected"
            )
        count, number = pipe.hmget(meta, COUNT, GENERATION)
        with self._lock:  # what this packer numbers from now on only holds when all is written
            packer = self._packer_of(name, int(count or 0))
            self._packs_for = ""
        if packer is None:
            return False
        self._queue(pipe, name, packer, changes, fences)
        queue_changed(pipe, meta, self._of(name, "changes"), changes, int(number or 0) + 1)
        try:
            pipe.execute()
        except WatchError:
            return False
        with self._lock:
            self._packer, self._packs_for = packer, name
        return True

    def _queue(
        self, pipe: Any, name: str, packer: Packer, changes: Changes, fences: Mapping[Place, int]
    ) -> None:
        """Begin the MULTI and put everything into it."""
        before, meta = packer.count, self._of(name, "meta")
        stored = packer.packed_all(changes)
        pipe.multi()
        for key, record in stored:
            of, field = self._of(name, key[:1].decode()), key[1:]
            if record is None:
                pipe.hdel(of, field)
            else:
                pipe.hset(of, field, record)
        for (topic, partition), offset in fences.items():
            pipe.hset(self._of(name, "fences"), f"{partition}/{topic}", offset)
        if packer.count > before:
            for block, hashes in packer.blocks(before):
                pipe.hset(meta, block, hashes)
            pipe.hset(meta, COUNT, packer.count)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """See `OnlineStore.hold`."""
        with self._answering():
            while not self._client.set(self._root + "hold", self._token, nx=True, ex=HOLD_S):
                time.sleep(_POLL_S)
        try:
            yield
        finally:
            with self._answering():
                self._client.eval(LET_GO, 1, self._root + "hold", self._token)

    def publish(self) -> None:
        """See `OnlineStore.publish`."""
        with self._answering(), self._client.pipeline() as pipe:
            pipe.watch(self._root + "hold")
            if (pipe.get(self._root + "hold") or b"").decode() != self._token:
                raise StoreError(
                    f"{self._root}hold ran out after {HOLD_S} s, before the new store was complete: "
                    "run rebuild_store again"
                )
            pipe.multi()
            pipe.set(self._root + "current", self._beside)
            pipe.execute()
            others = set(self._client.smembers(self._root + "stores")) - {self._beside.encode()}
            for other in others:
                self._client.unlink(*(self._of(other.decode(), part) for part in _PARTS))
                self._client.srem(self._root + "stores", other)
        self._beside = ""

    def stats(self) -> Stats:
        """See `OnlineStore.stats`. Bytes are the server's estimate."""
        with self._answering():
            name = self._name()
            counts = {kind: self._client.hlen(self._of(name, kind.decode())) for kind in KINDS}
            names = {kind: self._of(name, kind.decode()) for kind in KINDS}
            sizes = {k: self._client.memory_usage(n, samples=SAMPLES) or 0 for k, n in names.items()}
        return Stats(
            {KINDS[kind]: int(count) for kind, count in counts.items()},
            {KINDS[kind]: int(size) for kind, size in sizes.items()},
            sum(int(size) for size in sizes.values()),
        )

    def close(self) -> None:
        """See `OnlineStore.close`."""
        self._client.close()

    def _begin(self) -> None:
        """Make the first store of the prefix, unless there is one."""
        with self._answering():
            if self._client.exists(self._root + "current"):
                return
            name = self._create()
            if not self._client.set(self._root + "current", name, nx=True):
                self._client.unlink(self._of(name, "meta"))
                self._client.srem(self._root + "stores", name)

    def _create(self) -> str:
        name = f"store-{uuid.uuid4().hex[:12]}"
        with self._answering():
            self._client.hset(self._of(name, "meta"), "version", self._version)
            self._client.sadd(self._root + "stores", name)
        return name

    def _name(self) -> str:
        return self._beside or (self._client.get(self._root + "current") or b"").decode()

    def _of(self, name: str, part: str) -> str:
        return f"{self._root}{name}:{part}"

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (ConnectionError, TimeoutError) as problem:
            raise StoreError(
                f"the online store on {self._url} does not answer ({problem}): is it up, is store.url right?"
            ) from problem
        except ValkeyError as problem:
            raise StoreError(f"the online store on {self._url} refuses: {problem}") from problem


_PARTS = ("meta", "fences", "changes", *(kind.decode() for kind in KINDS))
