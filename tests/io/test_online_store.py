"""The online store: one suite of tests for every kind of store."""

import dataclasses
import multiprocessing
import os
import signal
import threading
import time
from functools import partial

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipelines import settings as settings_module
from pipelines.domain import load_domain
from pipelines.errors import FenceError, SettingsError, StoreError
from pipelines.features.definitions import compile_definitions
from pipelines.io.changes import GENERATIONS, NOTED
from pipelines.io.kept_records import KeptRecords
from pipelines.io.lmdb_store import LmdbStore
from pipelines.io.online_store import KINDS, open_store, states_version
from pipelines.io.packing import FORMAT, Packer
from pipelines.io.redis_store import RedisStore
from tests.builders_features import a_user_record, definitions_of
from tests.io.store_processes import PLACE, VERSION, key, read_when_told, write_for_ever

DEFINITIONS = definitions_of()
processes = multiprocessing.get_context("spawn")


@pytest.fixture(params=["lmdb", "redis"])
def opener(request, tmp_path, settings):
    """Opens the same store again and again, to read, to write, or beside it."""
    opened = []
    if request.param == "redis":
        url, prefix = request.getfixturevalue("redis_url"), tmp_path.name
        kept = dataclasses.replace(settings.store, kind="redis", url=url, prefix=prefix)
        make = partial(RedisStore, kept)
    else:
        make = partial(LmdbStore, tmp_path / "store")

    def open_it(readonly=False, version=VERSION, **more):
        opened.append(make(version, readonly, **more))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def store(opener):
    return opener()


def test_what_was_written_is_read_by_others_at_one_moment(opener, store):
    reader = opener(readonly=True)
    store.write({key(1): b"one", key(2): b"two", key(1, b"i"): b"item"}, {PLACE: 5}, {})
    snapshot = reader.read([key(1), key(3), key(1, b"i")])
    assert snapshot.records == {key(1): b"one", key(1, b"i"): b"item"}
    assert snapshot.fences == reader.fences() == {PLACE: 5}
    assert reader.get_many([key(2)]) == {key(2): b"two"}
    assert (reader.fence(*PLACE), reader.fence("catalog", 3)) == (5, 0)


class Keeper:
    """Keeps records of items and values between readings, and notes what the store told of them."""

    def __init__(self, store):
        self.store, self.told, self.kept = store, [], KeptRecords(self)

    def is_still(self, generation):
        return self.store.is_still(generation)

    def read_since(self, generation, lacking):
        def heard(changed):
            self.told.append(changed)
            return lacking(changed)

        self.found = self.store.read_since(generation, heard)
        return self.found

    def read(self, keys):
        """Records by key, and the fences of the latest reading of the store."""
        return dict(zip(keys, self.kept.read(keys), strict=True)), self.found.fences


def test_who_keeps_records_is_told_which_have_changed(opener, store):
    items, values = ([key(n, kind) for n in range(3)] for kind in NOTED)
    everything = [*items, *values, key(1)]
    keeper = Keeper(opener(readonly=True))
    store.write({one: b"first" for one in everything}, {PLACE: 1}, {})
    assert keeper.read(everything) == ({one: b"first" for one in everything}, {PLACE: 1})
    keeper.told.clear()
    keeper.read(items)
    assert b"".join(keeper.told) == b"", "nothing was written"
    store.write({items[1]: b"second", values[0]: b"second", key(1): b"second"}, {PLACE: 2}, {PLACE: 1})
    store.write({items[2]: None}, {PLACE: 3}, {PLACE: 2})
    keeper.told.clear()
    found, fences = keeper.read(everything)
    assert b"".join(keeper.told) == items[1] + values[0] + items[2]
    assert fences == {PLACE: 3}
    assert found == store.read(everything).records | {items[2]: None}


def test_who_keeps_records_of_a_store_that_was_replaced_or_long_ago_reads_all_again(opener, store):
    item, keeper = key(1, b"i"), Keeper(opener(readonly=True))
    store.write({item: b"first"}, {PLACE: 0}, {})
    assert keeper.read([item])[0] == {item: b"first"}
    for number in range(GENERATIONS + 1):
        store.write({item: b"later"} if number == 0 else {}, {PLACE: number + 1}, {PLACE: number})
    assert keeper.read([item])[0] == {item: b"later"}
    assert keeper.told[-1] is None or None in keeper.told
    new = opener(is_beside=True)
    with new.hold():
        new.write({item: b"new"}, {PLACE: 9}, {})
        new.publish()
    keeper.told.clear()
    assert keeper.read([item]) == ({item: b"new"}, {PLACE: 9})
    assert None in keeper.told


def test_what_is_kept_is_never_behind_its_fence_while_others_write(opener):
    """One writer puts the fence's own number into all records: a mixture of two moments would show."""
    keys, stop = [key(n, b"i") for n in range(4)] + [key(1)], threading.Event()

    def write():
        own, number = opener(), 0
        while not stop.is_set():
            changed = {one: b"%d" % number for one in (keys if number % 3 == 0 else keys[-1:])}
            own.write(changed, {PLACE: number}, own.fences())
            number += 1

    opener().write({one: b"0" for one in keys}, {PLACE: 0}, {})
    writer, keeper, seen = threading.Thread(target=write), Keeper(opener(readonly=True)), set()
    writer.start()
    try:
        until = time.monotonic() + 0.7
        while time.monotonic() < until:
            for _ in range(3):  # items alone are often answered without the store
                assert len(set(keeper.read(keys[:-1])[0].values())) == 1
            found, fences = keeper.read(keys)
            number = fences[PLACE]
            assert found == {one: b"%d" % (number - number % 3) for one in keys[:-1]} | {
                keys[-1]: b"%d" % number
            }
            seen.add(number)
    finally:
        stop.set()
        writer.join(20)
    assert len(seen) > 3


def test_a_folder_of_which_a_writer_died_is_not_taken_for_unchanged(tmp_path):
    with LmdbStore(tmp_path, VERSION, False) as store, LmdbStore(tmp_path, VERSION) as reader:
        for number in (1, 2):
            store.write({key(1, b"i"): b"%d" % number}, {PLACE: number}, store.fences())
            generation = reader.read([]).generation
            assert reader.is_still(generation)
            store._used().moment.begin(number + 1)  # as a writer leaves it that was killed before its end
            assert not reader.is_still(generation)
        store.write({}, {PLACE: 3}, {PLACE: 2})
        assert not reader.is_still(generation)
        assert reader.is_still(reader.read([]).generation)


def test_a_write_is_refused_when_somebody_folded_in_between(opener, store):
    other = opener()
    store.write({key(1): b"one"}, {PLACE: 5}, {})
    for expected in ({}, {PLACE: 4}, {PLACE: 5, ("catalog", 0): 0}):
        with pytest.raises(FenceError, match="not"):
            other.write({key(1): b"ONE", key(2): b"TWO"}, {PLACE: 9}, expected)
    assert store.read([key(1), key(2)]).records == {key(1): b"one"}
    other.write({key(1): None}, {("catalog", 0): 2}, {PLACE: 5})
    assert store.read([key(1)]).records == {}
    assert store.fences() == {PLACE: 5, ("catalog", 0): 2}


def test_a_reader_cannot_write(opener, store):
    with pytest.raises(StoreError, match="read only"):
        opener(readonly=True).write({}, {PLACE: 1}, {})


def test_a_store_of_another_version_is_refused(opener, store):
    for readonly in (True, False):
        with pytest.raises(StoreError, match=r"under the version 0123456789abcdef .*ffff.*rebuild_store"):
            opener(readonly, version="ffff")


def test_a_scan_goes_through_one_kind_in_order(store):
    records = {key(number): bytes([number % 256]) for number in range(2_500)}
    store.write(records | {key(7, b"i"): b"", key(7, b"v"): b""}, {}, {})
    assert list(store.scan(b"u")) == sorted(records.items())
    assert [found for found, _ in store.scan(b"u", after=key(2_497))] == [key(2_498), key(2_499)]
    assert [found for found, _ in store.scan(key(256)[:8])] == [key(number) for number in range(256, 512)]


def test_it_tells_what_it_holds(store):
    store.write({key(1): bytes(100), key(2): bytes(100), key(1, b"v"): b"x"}, {PLACE: 1}, {})
    stats = store.stats()
    assert (stats.records["user"], stats.records["value"], stats.records["item"]) == (2, 1, 0)
    assert stats.record_bytes["user"] > 0
    assert stats.total_bytes >= sum(stats.record_bytes.values())


def test_a_store_beside_takes_the_place_of_this_one_for_all(opener, store):
    reader = opener(readonly=True)
    store.write({key(1): b"old"}, {PLACE: 5}, {})
    new = opener(is_beside=True)
    with new.hold():
        new.write({key(1): b"new"}, {PLACE: 7}, {})
        assert reader.read([key(1)]).records == {key(1): b"old"}
        new.publish()
    assert reader.read([key(1)]) == store.read([key(1)])
    assert reader.read([key(1)]).records == {key(1): b"new"}
    with pytest.raises(FenceError):
        store.write({key(1): b"older"}, {PLACE: 6}, {PLACE: 5})
    store.write({key(1): b"newer"}, {PLACE: 8}, {PLACE: 7})
    assert opener(readonly=True).get_many([key(1)]) == {key(1): b"newer"}


def test_whoever_writes_waits_for_the_store_that_is_put_in_place(opener, store):
    refused = threading.Event()

    def write():
        with pytest.raises(FenceError):
            store.write({key(1): b"lost"}, {PLACE: 1}, {})
        refused.set()

    new, writer = opener(is_beside=True), threading.Thread(target=write)
    with new.hold():
        writer.start()
        new.write({}, {PLACE: 3}, {})
        assert not refused.wait(0.3)
        new.publish()
    writer.join(10)
    assert refused.is_set()
    assert store.fences() == {PLACE: 3}


def test_of_two_that_fold_at_the_same_time_one_is_refused_and_nothing_is_lost(opener):
    def count_up():
        own = opener()
        for _ in range(40):
            while True:
                snapshot = own.read([key(1)])
                number = int(snapshot.records.get(key(1), b"0")) + 1
                offset = snapshot.fences.get(PLACE, 0) + 1
                try:
                    own.write({key(1): b"%d" % number}, {PLACE: offset}, snapshot.fences)
                    break
                except FenceError:
                    continue

    threads = [threading.Thread(target=count_up) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert opener().read([key(1)]).records == {key(1): b"120"}
    assert opener().fences() == {PLACE: 120}


@given(
    st.lists(
        st.dictionaries(st.integers(0, 5), st.one_of(st.none(), st.binary(max_size=9)), max_size=4),
        max_size=6,
    )
)
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_after_any_writes_it_holds_what_a_dictionary_does(store, batches):
    expected = dict(store.scan(b"u"))
    for batch in batches:
        changes = {key(number): value for number, value in batch.items()}
        fences = store.fences()
        store.write(changes, {PLACE: fences.get(PLACE, 0) + 1}, fences)
        expected = {k: v for k, v in (expected | changes).items() if v is not None}
        assert store.get_many([key(number) for number in range(6)]) == expected


@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=50), st.integers(0, 20_000))
@hypothesis_settings(deadline=None)
def test_records_are_packed_without_loss(kind, some, zeros):
    record = some + bytes(zeros)
    for packer in (Packer(), Packer(DEFINITIONS)):
        assert packer.unpacked(kind, packer.packed(kind, record)) == record
        assert len(packer.packed(kind, record)) <= len(record) + 30


def users(first, count):
    """Records of users, each of whom has met an item that no other one has."""
    return {key(n): a_user_record(DEFINITIONS, -(10**15) * (n + 1)) for n in range(first, first + count)}


def test_records_of_users_are_read_by_all_though_they_name_items_by_number(opener):
    writers = [opener(definitions=DEFINITIONS) for _ in range(2)]
    reader, expected = opener(readonly=True, definitions=DEFINITIONS), {}
    for first in range(0, 1_000, 100):
        some = users(first, 100)
        writers[first // 100 % 2].write(some, {}, {})
        expected |= some
        assert reader.get_many(list(some)) == some
    assert reader.get_many(list(expected)) == expected
    assert list(reader.scan(b"u")) == sorted(expected.items())
    assert list(opener(readonly=True, definitions=DEFINITIONS).scan(b"u")) == sorted(expected.items())
    assert reader.stats().record_bytes["user"] < 200 * len(expected)


def test_what_a_refused_write_numbered_is_forgotten(opener):
    refused, other = (opener(definitions=DEFINITIONS) for _ in range(2))
    refused.write(users(0, 3), {PLACE: 1}, {})
    with pytest.raises(FenceError):
        refused.write(users(100, 300), {PLACE: 2}, {PLACE: 7})
    other.write(users(3, 300), {PLACE: 2}, {PLACE: 1})
    refused.write(users(303, 3), {PLACE: 3}, {PLACE: 2})
    for store in (refused, other, opener(readonly=True, definitions=DEFINITIONS)):
        assert dict(store.scan(b"u")) == users(0, 306)


def test_a_store_put_in_place_of_this_one_has_numbers_of_its_own(opener):
    store, new = opener(definitions=DEFINITIONS), opener(definitions=DEFINITIONS, is_beside=True)
    reader = opener(readonly=True, definitions=DEFINITIONS)
    store.write(users(0, 300), {}, {})
    assert dict(reader.scan(b"u")) == users(0, 300)
    with new.hold():
        new.write(users(500, 300), {}, {})
        new.publish()
    store.write(users(800, 5), {}, {})
    for one in (store, new, reader):
        assert dict(one.scan(b"u")) == users(500, 305)


def test_of_many_that_number_items_at_the_same_time_nobody_mixes_them_up(opener):
    shared = opener(definitions=DEFINITIONS)

    def write(own, first):
        for n in range(first, first + 40):
            while True:
                fences = own.fences()
                try:
                    own.write(users(n, 1), {PLACE: fences.get(PLACE, 0) + 1}, fences)
                    break
                except FenceError:
                    continue
            assert own.get_many([key(n)]) == users(n, 1)

    stores = (shared, shared, opener(definitions=DEFINITIONS))
    threads = [threading.Thread(target=write, args=(s, 100 * i)) for i, s in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    expected = users(0, 40) | users(100, 40) | users(200, 40)
    assert dict(opener(readonly=True, definitions=DEFINITIONS).scan(b"u")) == expected


def test_numbers_are_kept_when_the_map_is_full(tmp_path):
    with LmdbStore(tmp_path, VERSION, False, DEFINITIONS, map_bytes=1 << 18) as store:
        for first in range(0, 6_000, 2_000):
            store.write(users(first, 2_000), {}, {})
        assert dict(store.scan(b"u")) == users(0, 6_000)
    with LmdbStore(tmp_path, VERSION, True, DEFINITIONS) as store:
        assert dict(store.scan(b"u")) == users(0, 6_000)


def test_a_store_that_packs_otherwise_has_another_version(monkeypatch):
    version = states_version(DEFINITIONS)
    monkeypatch.setattr("pipelines.io.online_store.FORMAT", FORMAT + 1)
    assert states_version(DEFINITIONS) != version


def test_a_map_that_is_full_grows_also_for_those_that_read(tmp_path):
    writer = LmdbStore(tmp_path, VERSION, readonly=False, map_bytes=1 << 18)
    there, here = processes.Pipe()
    reader = processes.Process(target=read_when_told, args=(tmp_path, there))
    reader.start()
    try:
        assert here.recv() is None
        for number in range(40):
            value = os.urandom(16_000)
            writer.write({key(number): value}, {PLACE: number + 1}, writer.fences())
        here.send(39)
        assert here.recv() == value
    finally:
        reader.join(20)
        writer.close()


def test_a_writer_killed_at_any_moment_leaves_whole_transactions(tmp_path):
    last = 0
    for pause in (0.0, 0.013):
        writer = processes.Process(target=write_for_ever, args=(tmp_path,))
        writer.start()
        deadline = time.monotonic() + 30
        while not (tmp_path / "current").is_symlink():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with LmdbStore(tmp_path, VERSION, readonly=True) as reader:
            while reader.fence(*PLACE) <= last:
                assert time.monotonic() < deadline
        time.sleep(pause)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        with LmdbStore(tmp_path, VERSION, readonly=True) as reader:
            snapshot = reader.read([key(n) for n in range(50)])
            last = snapshot.fences[PLACE]
            assert set(snapshot.records.values()) == {last.to_bytes(8, "big")}


def test_a_folder_without_a_store_is_told_to_readers(tmp_path):
    with pytest.raises(StoreError, match=r"no online store in .*update_online_store makes it"):
        LmdbStore(tmp_path / "none", VERSION, readonly=True)


def test_states_have_the_version_of_what_is_folded_into_them():
    loaded = settings_module.load(environ={})
    shop = load_domain("shop", loaded)
    definitions = compile_definitions(shop)
    view = msgspec.structs.replace(shop.event_types["view"], reward=0.7)
    other = compile_definitions(msgspec.structs.replace(shop, event_types={**shop.event_types, "view": view}))
    assert states_version(compile_definitions(shop)) == states_version(definitions)
    assert other.layouts.hash == definitions.layouts.hash
    assert states_version(other) != states_version(definitions)


def test_the_settings_choose_the_store(settings):
    definitions = compile_definitions(load_domain("shop", settings))
    with pytest.raises(StoreError, match="no online store"):
        open_store(settings, definitions)
    with (
        open_store(settings, definitions, readonly=False) as store,
        open_store(settings, definitions) as reader,
    ):
        store.write({key(1): b"one"}, {PLACE: 1}, {})
        assert reader.get_many([key(1)]) == {key(1): b"one"}
    wrong = dataclasses.replace(settings, store=dataclasses.replace(settings.store, kind="lmbd"))
    with pytest.raises(SettingsError, match=r"store.kind .* not 'lmbd'; did you mean 'lmdb'"):
        open_store(wrong, definitions)


def test_a_server_that_does_not_answer_is_told(settings):
    kept = dataclasses.replace(settings.store, url="redis://:secret@127.0.0.1:1/0")
    with pytest.raises(
        StoreError, match=r"on 127.0.0.1:1/0 does not answer .* is store.url right"
    ) as refused:
        RedisStore(kept, VERSION)
    assert "secret" not in str(refused.value)
    with pytest.raises(SettingsError, match=r"store.url is empty"):
        RedisStore(settings.store, VERSION)


def test_a_damaged_folder_is_told(tmp_path):
    LmdbStore(tmp_path, VERSION, readonly=False).close()
    (tmp_path / "current" / "data.mdb").write_bytes(b"no database" * 1_000)
    with pytest.raises(StoreError, match=r"store-\w+ cannot be used: .* rebuild_store"):
        LmdbStore(tmp_path, VERSION)


def test_threads_share_a_store_that_is_replaced(tmp_path):
    with LmdbStore(tmp_path, VERSION, readonly=False) as store:
        stop, failures = threading.Event(), []

        def read():
            while not stop.is_set():
                try:
                    assert set(store.read([key(1)]).records.values()) <= {b"one"}
                except StoreError as problem:
                    failures.append(problem)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(20):
                with LmdbStore(tmp_path, VERSION, readonly=False, is_beside=True) as new, new.hold():
                    new.write({key(1): b"one"}, {}, {})
                    new.publish()
        finally:
            stop.set()
            for thread in threads:
                thread.join(10)
        assert failures == []
