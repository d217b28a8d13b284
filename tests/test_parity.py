"""Training, stream and request see the same features, bit for bit, on a stream with all that goes wrong:
the whole history replayed, folded in batches of any size with records stored as bytes in between, and
single decisions read from stored records."""

import itertools

import msgspec
import numpy as np
import pytest
import yaml

from pipelines import settings as settings_module
from pipelines.cli._file_rows import silver_of_arrivals
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.domain import load_domain
from pipelines.errors import FeatureError
from pipelines.features.carriers import EVERYTHING, ITEM, USER, VALUE, Carrier, Request
from pipelines.features.catalog import Catalog
from pipelines.features.definitions import compile_definitions
from pipelines.features.history import in_arrival_order
from pipelines.features.kernel import APPLIED, REPEATED, TOO_LATE
from pipelines.features.kinds import KINDS
from pipelines.features.parsing import parse_features
from pipelines.features.replay import Replay
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records
from tests.builders_features import records_of, some_vectors

EVENT_COUNT = 110_000
TROUBLE = {"late_share": 0.05, "late_minutes": 60.0, "duplicate_share": 0.02, "malformed_share": 0.001}
SETTINGS = settings_module.load(environ={})
MORE = """
- {name: more_spent, kind: sum, of: purchase, number: price, by: user, window: [1h, 90d]}
- {name: more_usual, kind: mean, of: [click, cart], number: price, by: category, window: 1d}
- {name: more_visitors, kind: distinct, of: click, what: user, by: item, window: [5min, all]}
- {name: more_tags, kind: distinct, of: click, what: tags, by: session}
- {name: more_heat, kind: trend, of: click, by: item, window: 1h, against: 1d}
- {name: more_fair, kind: rate, of: click, by: item, prior: brand, place_power: 0.5}
- {name: more_mood, kind: learned, of: [shown, click, purchase], by: tags, half_life: 2h, slots: 16}
- {name: more_relative, kind: relative, of: click, attribute: price, measure: [ratio, share_below]}
- {name: more_visit, kind: session, measure: [acts, length, pause, dwell]}
- {name: more_seen, kind: count, of: shown, by: [session, item], slots: 32}
- {name: more_answers, kind: rate, of: click, by: [query, item], slots: 8}
- {name: more_asked, kind: count, of: search, by: query, window: 1h, slots: 64}
- {name: more_query, kind: count, of: click, by: [query, category], slots: 8}
- {name: more_age, kind: age}
- {name: more_known, kind: recency, of: view, by: user, since: first}
- {name: more_new, kind: cold_start, of: click, by: item, below: 3}
- {name: more_goes, kind: covisited, of: click, aggregate: [sum, max]}
- {name: more_words, kind: attribute, of: title, measure: words}
- {name: more_brand, kind: attribute, of: brand, measure: index, values: [Quill, Elkhart]}
- {name: more_first, kind: attribute, of: tags, measure: index, values: [ornate, rugged, bright]}
- {name: more_common, kind: context, of: tags, measure: share}
- {name: more_alike, kind: context, of: brand, measure: share}
- {name: more_middle, kind: context, of: more_visitors_all, measure: [median, median_difference]}
- {name: more_image, kind: has_vector, space: image}
"""


@pytest.fixture(scope="module")
def shop():
    domain = load_domain("shop", SETTINGS)
    everything = msgspec.structs.replace(domain.vectors, covisits={"of": ["click"], "keep": 3})
    vectors = msgspec.convert(msgspec.to_builtins(everything), type(domain.vectors))
    features = (*domain.features, *yaml.safe_load(MORE))
    return msgspec.structs.replace(domain, features=features, vectors=vectors)


@pytest.fixture(scope="module")
def definitions(shop):
    assert {type(d) for d in parse_features(shop)} == set(KINDS.values()), "every kind is compared"
    return compile_definitions(shop)


@pytest.fixture(scope="module")
def silver(shop):
    config = ShopConfig(seed=4, rate=2.0, users=600, items=300, list_length=8, **TROUBLE)
    chunks = list(records(config, EVENT_COUNT))
    lines = [line for chunk in chunks for line in chunk.lines]
    arrivals = [arrival for chunk in chunks for arrival in chunk.arrivals]
    return silver_of_arrivals(lines, arrivals, shop, SETTINGS)


@pytest.fixture(scope="module")
def history(silver, definitions):
    return in_arrival_order(silver[EVENTS.name], silver[DECISIONS.name], definitions.events)


@pytest.fixture(scope="module")
def catalog_of(silver, definitions):
    ids = silver[ITEMS.name]["item_id"].unique().to_pylist()
    vectors = some_vectors(ids)

    def build():
        catalog = Catalog(definitions, vectors)
        catalog.learn(silver[ITEMS.name])
        return catalog

    return build


@pytest.fixture(scope="module")
def replayed(history, definitions, catalog_of):
    replay = Replay(definitions, catalog_of())
    return replay, replay.advance(history)


def pieces(history, places):
    """The history, cut at these places."""
    for first, last in itertools.pairwise(sorted({0, *places, len(history)})):
        yield history.part(first, last)


def fold(carrier, piece, store):
    """What an online store does with a batch: fetch what it needs, put back what it changed."""
    fetched = {key: store[key] for key in carrier.needed(piece) if key in store}
    folded = carrier.advance(piece, fetched)
    store |= folded.records
    return folded


def test_the_stream_has_all_that_goes_wrong(history, silver, replayed):
    replay, probes = replayed
    assert len(history) >= 100_000
    assert (np.diff(history.times) < 0).sum() > 1_000, "events out of their order"
    assert replay.tally[REPEATED] > 1_000
    assert replay.tally[TOO_LATE] > 100
    assert replay.tally.sum() - replay.tally[TOO_LATE] == len(history)
    assert probes.decision_rows.size > 5_000
    assert not probes.is_late.any()
    assert replay.tally[APPLIED] > 100_000


@pytest.mark.parametrize("seed", [1, 2])
def test_batches_of_any_size_with_stored_records_are_the_replay(
    history, definitions, catalog_of, replayed, seed
):
    replay, probes = replayed
    chance = np.random.default_rng(seed)
    largest = (1_000, 20_000)[seed - 1]
    places = np.cumsum(chance.integers(1, largest, 2 * len(history) // largest + 10))
    store: dict[bytes, bytes] = {}
    carrier, on_time = Carrier(definitions, catalog_of()), 0
    tally = np.zeros(3, np.int64)
    spans = {row: slice(*probes.starts[k : k + 2]) for k, row in enumerate(probes.decision_rows)}
    for piece in pieces(history, places[places < len(history)]):
        folded = fold(carrier, piece, store)
        tally += folded.tally
        for k, row in enumerate(folded.probes.decision_rows):
            if not folded.probes.is_late[k]:
                found = folded.probes.features[slice(*folded.probes.starts[k : k + 2])]
                assert found.tobytes() == probes.features[spans[row]].tobytes()
                on_time += 1
    assert on_time > 0.9 * len(spans)
    assert tally.tolist() == replay.tally.tolist()
    assert {key: record[8:] for key, record in store.items()} == records_of(replay)


def test_a_request_reads_what_the_training_learns_from(history, silver, definitions, catalog_of, replayed):
    _, probes = replayed
    decisions = silver[DECISIONS.name]
    chosen = np.sort(np.random.default_rng(3).permutation(probes.decision_rows.size)[:250])
    rows = probes.decision_rows[chosen]
    made = history.as_of[np.argsort(history.decision_rows)[-decisions.num_rows :]][rows]
    at = np.flatnonzero(history.decision_rows >= 0)[
        np.argsort(history.decision_rows[history.decision_rows >= 0])
    ]
    places = np.minimum(np.searchsorted(history.arrived, made, side="right"), at[rows])
    store: dict[bytes, bytes] = {}
    stream, service = Carrier(definitions, catalog_of()), Carrier(definitions, catalog_of())
    folded = 0
    for k in np.argsort(places, kind="stable"):
        fold(stream, history.part(folded, int(places[k])), store)
        folded = int(places[k])
        asked = decisions.slice(int(rows[k]), 1).to_pylist()[0]
        request = Request(asked["user_id"], asked["items"], int(made[k]), asked["query"])
        fetched = {key: store[key] for key in service.needed_for(request) if key in store}
        found = service.read(request, fetched)
        assert found.tobytes() == probes.features[slice(*probes.starts[chosen[k] : chosen[k] + 2])].tobytes()


def test_records_are_as_large_as_their_layout(history, definitions, catalog_of):
    store: dict[bytes, bytes] = {}
    fold(Carrier(definitions, catalog_of()), history.part(0, 20_000), store)
    layouts = definitions.layouts
    sizes = {EVERYTHING: layouts.everything, ITEM: layouts.item, VALUE: layouts.value, USER: layouts.user}
    assert {key[:1] for key in store} == set(sizes)
    assert all(len(record) == 8 + sizes[key[:1]].itemsize for key, record in store.items())


def test_a_record_of_another_layout_is_refused(history, definitions, catalog_of):
    carrier = Carrier(definitions, catalog_of())
    request = Request("ann", ["i1"], 0)
    (key,) = (key for key in carrier.needed_for(request) if key[:1] == USER)
    for record in (b"", bytes(8 + definitions.layouts.user.itemsize)):
        with pytest.raises(FeatureError, match="build the records again from the history"):
            carrier.read(request, {key: record})


def test_ids_in_any_script_have_their_own_records(definitions, catalog_of):
    carrier = Carrier(definitions, catalog_of())
    users = ["ann", "Ann", "änn", "ännchen", "ζωή", "日本", "👩‍👩‍👧", "", "a" * 10_000]
    keys = {key for user in users for key in carrier.needed_for(Request(user, [], 0)) if key[:1] == USER}
    assert len(keys) == len(users)
