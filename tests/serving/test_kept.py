"""A service that keeps records between requests ranks as one that reads all of them anew."""

import dataclasses
import itertools
from functools import partial

import numpy as np
import pytest

from pipelines.features.carriers import Request
from pipelines.features.history import of_one
from pipelines.features.ids import hash_id
from pipelines.features.kept import KeptCarrier
from pipelines.serving.accepted import Accepted, Taken
from pipelines.serving.intake import decided
from pipelines.serving.ranking import Ranking
from tests.serving import stage

PIECES = 12
EVENT = stage.definitions().events["click"]


class Listening:
    """The store, and the keys that were asked of it."""

    def __init__(self, store):
        self.store, self.asked = store, []

    def read(self, keys):
        self.asked.append(list(keys))
        return self.store.read(keys)

    def read_since(self, generation, lacking):
        def heard(changed):
            self.asked[-1] = lacking(changed)
            return self.asked[-1]

        self.asked.append([])
        return self.store.read_since(generation, heard)

    def fences(self):
        return self.store.fences()


@pytest.fixture(params=["lmdb", "redis"])
def store(request, settings, tmp_path):
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        kept = dataclasses.replace(settings.store, kind="redis", url=url, prefix=tmp_path.name)
        settings = dataclasses.replace(settings, store=kept)
    with stage.a_store(settings) as store:
        yield store


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return stage.a_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def ranking(model):
    carrier = KeptCarrier(stage.definitions(), stage.a_carrier().catalog)
    return Ranking(carrier, frozenset(stage.item_ids()), model)


def read_anew(request, store):
    """The features of a request, by a carrier that has kept nothing."""
    carrier = stage.a_carrier()
    found = carrier.read(request, store.read(carrier.needed_for(request)).records)
    return dict(zip(request.items, stage.definitions().as_served(found), strict=True))


def expect_the_same(ranked, expected):
    for item, features in zip(ranked.items, ranked.features, strict=True):
        np.testing.assert_array_equal(features, expected[item], err_msg=item)


def pieces():
    """The shop's past in some parts, each with the place behind it."""
    past = stage.past()
    ends = np.linspace(0, len(past), PIECES + 1).astype(int)
    return [(past.part(first, last), last) for first, last in itertools.pairwise(ends)]


def test_lists_between_batches_have_the_features_of_what_is_read_anew(store, ranking):
    chance, items = np.random.default_rng(5), stage.item_ids()
    users, accepted = [stage.a_user(), "nobody", *(f"u{n}" for n in range(1, 20))], Accepted(100)
    for history, end in pieces():
        stage.fold(store, history, next_offset=int(end))
        for number in range(8):
            chosen = chance.choice(len(items), chance.integers(1, len(items)), replace=False)
            listed = [*(items[at] for at in chosen), f"unknown {number}"][: 1 + number * 20]
            user = users[chance.integers(len(users))]
            request = Request(user, listed, stage.now_ms(), "lamp" if number % 2 else None)
            expected = read_anew(request, store)
            expect_the_same(ranking.rank(request, store, accepted), expected)
            # Somebody else's decision, not folded yet, is read on top in between and leaves nothing behind.
            other = Request(f"other {number}", listed, stage.now_ms())
            once = Accepted(10)
            made = partial(decided, other.user_id, "d", listed, None, stage.now_ms())
            once.take(other.user_id, Taken(made, "interactions"))
            ranking.rank(other, store, once)
            expect_the_same(ranking.rank(request, store, accepted), expected)


def test_what_a_user_did_beyond_the_store_is_read_as_if_it_had_been_folded(store, ranking):
    chance, items = np.random.default_rng(7), stage.item_ids()
    stage.fold(store, stage.past(), next_offset=0)
    for number in range(12):
        user, accepted = f"u{number}" if number % 3 else "nobody", Accepted(10)
        for step in range(1 + number % 4):
            shown = [items[at] for at in chance.choice(len(items), 30, replace=False)]
            about = {"time": stage.now_ms() - 5_000 + step, "user_id": user, "event_id": f"{number} {step}"}
            clicked = partial(of_one, EVENT, stage.now_ms(), **about, item_id=shown[3])
            seen = partial(decided, user, f"d{number} {step}", shown, "lamp", stage.now_ms() - 5_000 + step)
            for made in (seen, clicked):
                accepted.take(user, Taken(made, "interactions"))
        listed = [items[at] for at in chance.choice(len(items), 40, replace=False)]
        request = Request(user, [*listed, f"unknown {number}"], stage.now_ms())
        carrier, taken = stage.a_carrier(), accepted.of(user)
        stored = store.read([*carrier.needed_for(request), *carrier.needed(taken)]).records
        on_top = {**stored, **carrier.update(taken, stored)[0]}
        found = stage.definitions().as_served(carrier.read(request, on_top))
        ranked = ranking.rank(request, store, accepted)
        expect_the_same(ranked, dict(zip(request.items, found, strict=True)))
        assert "unknown_user" not in ranked.degraded
        plain = Request(user, request.items, stage.now_ms())
        expect_the_same(ranking.rank(plain, store, Accepted(1)), read_anew(plain, store))


def test_only_what_has_changed_is_read_again(store, ranking):
    listening, accepted = Listening(store), Accepted(10)
    request = Request(stage.a_user(), stage.item_ids()[:40], stage.now_ms())
    stage.fold(store, stage.past(), next_offset=0)
    for _ in range(2):
        ranking.rank(request, listening, accepted)
    assert len(listening.asked[0]) > 40
    assert {key[:1] for key in listening.asked[1]} == {b"e", b"u"}
    one = stage.item_ids()[7]
    happened = {"time": stage.now_ms(), "user_id": "somebody", "event_id": "new", "item_id": one}
    event = of_one(EVENT, stage.now_ms(), **happened)
    stage.fold(store, event, next_offset=1)
    expected = read_anew(request, store)
    expect_the_same(ranking.rank(request, listening, accepted), expected)
    items = [key for key in listening.asked[2] if key[:1] == b"i"]
    assert items == [key for key in listening.asked[0] if key == b"i" + item_key(one)]
    assert any(key[:1] == b"v" for key in listening.asked[2]), "its category counts the event too"
    ranking.rank(request, listening, accepted)
    assert {key[:1] for key in listening.asked[3]} == {b"e", b"u"}


def item_key(item):
    return hash_id(item).to_bytes(8, "big", signed=True)
