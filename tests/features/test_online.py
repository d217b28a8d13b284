"""What keeps an online store up to date: whatever is handed over, in whatever batches, by however many
processes, each message is folded once, and the states are those of the replay."""

import datetime
import zlib
from collections import Counter
from functools import partial

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines import settings as settings_module
from pipelines.anomalies.firewall import taught_by
from pipelines.anomalies.reviews import Confirmed
from pipelines.cli._file_rows import silver_of_arrivals
from pipelines.contracts.bronze import LANDED
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.contracts.types import arrow_schema
from pipelines.domain import load_domain
from pipelines.errors import FenceError
from pipelines.features.carriers import USER
from pipelines.features.catalog import Catalog
from pipelines.features.columns import as_ms, unpacked
from pipelines.features.definitions import compile_definitions
from pipelines.features.hashing import hash_text
from pipelines.features.history import in_arrival_order
from pipelines.features.online import DAY, Updater
from pipelines.features.replay import Replay
from pipelines.features.stored_catalog import CATALOG, StoredCatalog, without_old
from pipelines.io.lmdb_store import LmdbStore
from pipelines.io.online_store import KINDS, states_version
from pipelines.io.replay import Addresses
from pipelines.sections import Store
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records
from tests.builders import NOW, an_event, an_item, landed_rows
from tests.builders_features import records_of, some_vectors

SETTINGS = settings_module.load(environ={})
SHOP = load_domain("shop", SETTINGS)
DEFINITIONS = compile_definitions(SHOP)
TROUBLE = {"late_share": 0.05, "late_minutes": 60.0, "duplicate_share": 0.02, "malformed_share": 0.01}
PARTITIONS = 4
STATES = (b"e", b"i", b"v", b"u")
DAYS = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def sent():
    """(lines, arrivals) of a few thousand records of the simulated shop, catalog included."""
    chunks = list(records(ShopConfig(seed=5, rate=2.0, users=150, items=80, list_length=6, **TROUBLE), 6_000))
    return (
        [line for chunk in chunks for line in chunk.lines],
        [arrival for chunk in chunks for arrival in chunk.arrivals],
    )


@pytest.fixture(scope="module")
def landed(sent):
    """The records as Kafka would hold them: users keep their partition, each partition counts its offsets."""
    addresses, offsets = Addresses(SHOP), Counter()
    rows = {name: [] for name in ("topic", "partition", "offset", "value", "headers", "arrived_at")}
    for line, arrival in zip(*sent, strict=True):
        topic, key, _ = addresses.of(line)
        place = (topic, zlib.crc32(key or b"") % (1 if topic == "catalog" else PARTITIONS))
        for name, value in zip(rows, (*place, offsets[place], line, None, arrival * 1000), strict=True):
            rows[name].append(value)
        offsets[place] += 1
    return table(rows)


def table(columns):
    whole = arrow_schema(LANDED)
    types = {name: whole.field(name).type for name in ("topic", "partition", "offset", "value", "headers")}
    types["arrived_at"] = whole.field("timestamp").type
    return pa.table({name: pa.array(columns[name], kind) for name, kind in types.items()})


@pytest.fixture(scope="module")
def replayed(sent):
    """The states of the replay carrier, by key."""
    silver = silver_of_arrivals(*sent, SHOP, SETTINGS)
    catalog = Catalog(DEFINITIONS, some_vectors(silver[ITEMS.name]["item_id"].unique().to_pylist()))
    catalog.learn(silver[ITEMS.name])
    replay = Replay(DEFINITIONS, catalog)
    replay.advance(in_arrival_order(silver[EVENTS.name], silver[DECISIONS.name], DEFINITIONS.events))
    return records_of(replay)


@pytest.fixture
def store(tmp_path):
    version = states_version(DEFINITIONS)
    with LmdbStore(tmp_path / "store", version, readonly=False, definitions=DEFINITIONS) as opened:
        yield opened


def an_updater(idle_days=0, catalog_days=0, taught_by=None):
    kept = Store("lmdb", "", "", "", idle_days, catalog_days)
    return Updater(SHOP, DEFINITIONS, SETTINGS.silver, kept, taught_by)


def states_in(store):
    return {key: record[8:] for kind in STATES for key, record in store.scan(kind)}


def everything_in(store):
    return {key: record for kind in KINDS for key, record in store.scan(kind) if kind != CATALOG}


def ends(landed):
    found = Counter()
    for topic, partition in zip(landed["topic"].to_pylist(), landed["partition"].to_pylist(), strict=True):
        found[topic, partition] += 1
    return dict(found)


def test_the_states_are_those_of_the_replay(landed, replayed, store):
    counts = an_updater().fold(landed, store)
    assert len(landed) > 6_000
    assert counts["silver.quarantine"] > 20
    assert sum(counts.values()) == len(landed)
    assert store.fences() == ends(landed)
    assert states_in(store) == replayed


def test_what_is_held_out_leaves_no_trace_in_any_state(sent, landed, store):
    silver = silver_of_arrivals(*sent, SHOP, SETTINGS)
    whole = {name: silver[name] for name in (EVENTS.name, DECISIONS.name)}
    users, devices = (pc.value_counts(whole[EVENTS.name][of]).to_pylist() for of in ("user_id", "device_id"))
    times = as_ms(whole[EVENTS.name]["event_time"])
    middle = int(np.median(times))
    busiest = max(users, key=lambda row: row["counts"])["values"]
    holds = [
        Confirmed("user", busiest, 0, middle, "one incident"),
        *(Confirmed("device", row["values"], middle, 2 * middle, "another") for row in devices[:20]),
    ]
    left = {name: taught_by(rows, holds) for name, rows in whole.items()}
    assert all(0 < left[name].num_rows < whole[name].num_rows for name in whole)
    counts = an_updater(taught_by=partial(taught_by, holds=holds)).fold(landed, store)
    assert sum(counts.values()) == len(landed)
    catalog = Catalog(DEFINITIONS, some_vectors(silver[ITEMS.name]["item_id"].unique().to_pylist()))
    catalog.learn(silver[ITEMS.name])
    replay = Replay(DEFINITIONS, catalog)
    replay.advance(in_arrival_order(left[EVENTS.name], left[DECISIONS.name], DEFINITIONS.events))
    assert states_in(store) == records_of(replay)
    assert store.fences() == ends(landed)


@pytest.mark.parametrize("seed", range(3))
def test_batches_that_overlap_by_processes_that_die_are_folded_once(landed, replayed, store, seed):
    chance = np.random.default_rng(seed)
    updaters, reached = [an_updater(), an_updater()], 0
    while reached < len(landed):
        start = max(0, reached - int(chance.integers(0, 500)))
        reached = min(len(landed), reached + int(chance.integers(1, 1_500)))
        which = int(chance.integers(0, 2))
        updaters[which].fold(landed.slice(start, reached - start), store)
        if chance.random() < 0.3:
            updaters[which] = an_updater()  # killed, and started again
    before = everything_in(store)
    counts = an_updater().fold(landed, store)
    assert counts == {"old": len(landed)}
    assert everything_in(store) == before
    assert states_in(store) == replayed


def test_somebody_who_folds_in_between_is_noticed(landed, replayed, store):
    """Another process folds the same messages after this one has read and before it writes."""

    class Overtaken:
        def __init__(self):
            self.refused = 0

        def __getattr__(self, name):
            return getattr(store, name)

        def write(self, changes, fences, expected):
            if self.refused < 3:
                size = (300, 2_000, len(landed))[self.refused]
                an_updater().fold(landed.slice(0, size), store)
            try:
                store.write(changes, fences, expected)
            except FenceError:
                self.refused += 1
                raise

    overtaken = Overtaken()
    an_updater().fold(landed, overtaken)
    assert overtaken.refused == 3
    assert states_in(store) == replayed


def test_what_died_before_its_write_has_changed_nothing(landed, replayed, store):
    class Dying:
        def __getattr__(self, name):
            return getattr(store, name)

        def write(self, changes, fences, expected):
            raise KeyboardInterrupt

    first = an_updater()
    first.fold(landed.slice(0, 2_000), store)
    before = everything_in(store)
    with pytest.raises(KeyboardInterrupt):
        first.fold(landed.slice(2_000), Dying())
    assert everything_in(store) == before
    an_updater().fold(landed, store)
    assert states_in(store) == replayed


def test_the_catalog_is_in_the_store_for_whoever_starts_later(landed, sent, store):
    an_updater().fold(landed, store)
    catalog = Catalog(DEFINITIONS)
    learnt = StoredCatalog(catalog).catch_up(store)
    items = silver_of_arrivals(*sent, SHOP, SETTINGS)[ITEMS.name]
    whole = Catalog(DEFINITIONS)
    whole.learn(items)
    assert learnt == items.num_rows
    for ours, theirs in zip(catalog.lookups(), whole.lookups(), strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_the_texts_that_features_are_read_off_are_in_the_store_and_no_others(landed, sent, tmp_path):
    words = {"name": "words", "kind": "attribute", "of": "title", "measure": "words"}
    shop = msgspec.structs.replace(SHOP, features=(*SHOP.features, words))
    definitions = compile_definitions(shop)
    updater = Updater(shop, definitions, SETTINGS.silver, Store("lmdb", "", "", "", 0, 0))
    version = states_version(definitions)
    assert version != states_version(DEFINITIONS), "a store without these texts is refused"
    catalog, whole = Catalog(definitions), Catalog(definitions)
    with LmdbStore(tmp_path / "store", version, readonly=False) as store:
        for start in range(0, len(landed), 2_000):
            updater.fold(landed.slice(start, 2_000), store)
        StoredCatalog(catalog).catch_up(store)
        stored = pa.concat_tables([unpacked(chunk) for _, chunk in store.scan(CATALOG)])
    whole.learn(silver_of_arrivals(*sent, shop, SETTINGS)[ITEMS.name])
    assert {name for texts in stored["texts"].to_pylist() for name, _ in texts} == {"title"}
    assert np.nanmin(whole.lookups().numbers[:, -1]) >= 2
    for ours, theirs in zip(catalog.lookups(), whole.lookups(), strict=True):
        assert ours.tobytes() == theirs.tobytes()


def visits(*users, day=0, offset=0):
    """A view of each of these users on a day, as it arrived."""
    at = NOW + day * DAYS
    ms = int(at.timestamp() * 1000)
    events = [an_event(event_id=f"{user}{day}", user_id=user, event_time=ms) for user in users]
    rows = landed_rows(*events, first_offset=offset, arrived=at)
    return rows.rename_columns([name if name != "timestamp" else "arrived_at" for name in rows.column_names])


def user(name):
    return USER + hash_text(name).to_bytes(8, "big", signed=True)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_user_who_was_idle_for_too_long_comes_back_as_a_new_one(tmp_path, at_once):
    visited = [
        visits("ann", "bob", day=0),
        visits("bob", day=10, offset=2),
        visits("ann", "bob", day=20, offset=3),
    ]
    stores = []
    for idle, batches in ((15, visited), (0, visited[1:])):
        with LmdbStore(tmp_path / str(idle), states_version(DEFINITIONS), readonly=False) as store:
            updater = an_updater(idle_days=idle)
            for batch in [pa.concat_tables(batches)] if at_once else batches:
                updater.fold(batch, store)
            stores.append(store.get_many([user("ann"), user("bob")]))
    (forgetful, fresh) = stores
    assert forgetful[user("ann")] == fresh[user("ann")]
    assert forgetful[user("bob")] != fresh[user("bob")]


def test_the_store_does_not_grow_with_time_when_the_population_is_constant(store):
    updater, offset, sizes = an_updater(idle_days=3), 0, []
    for day in range(20):
        names = [f"u{day}-{number}" for number in range(40)]
        for part in range(2):
            updater.fold(visits(*names[part::2], day=day, offset=offset), store)
            offset += 20
        sizes.append((store.stats().records["user"], store.stats().records["day"]))
    assert sizes[3] == (160, 160)
    assert max(sizes[6:]) == min(sizes[8:]) <= (6 * 40, 6 * 40)
    assert all(key[1:] in {k[1:] for k, _ in store.scan(DAY)} for key, _ in store.scan(b"u"))


def test_versions_that_were_replaced_long_ago_leave(store):
    updater = an_updater(catalog_days=30)

    def price(day, amount, offset):
        at = NOW + day * DAYS
        item = an_item(valid_from=int(at.timestamp() * 1000), attributes={"price": amount})
        rows = landed_rows(item, topic="catalog", first_offset=offset, arrived=at)
        return rows.rename_columns([n if n != "timestamp" else "arrived_at" for n in rows.column_names])

    for number, day in enumerate((0, 5, 20)):
        updater.fold(price(day, 1.0 + number, number), store)
        updater.fold(visits("ann", day=day, offset=number), store)
    assert versions(store) == [1.0, 2.0, 3.0]
    updater.fold(visits("ann", day=40, offset=3), store)
    assert versions(store) == [2.0, 3.0]
    assert len(list(store.scan(CATALOG))) == 1
    assert not without_old(store, 0)
    an_updater().fold(price(41, 4.0, 3), store)
    assert versions(store) == [2.0, 3.0, 4.0]


def versions(store):
    rows = pa.concat_tables([unpacked(chunk) for _, chunk in store.scan(CATALOG)])
    return [dict(numbers)["price"] for numbers in rows["numbers"].to_pylist()]
