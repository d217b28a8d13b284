"""Features of vectors, worked out by hand."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest

from pipelines.domain import parse_domain
from pipelines.errors import DomainError, FeatureError
from pipelines.features.catalog import Catalog
from pipelines.features.definitions import compile_definitions
from pipelines.features.hashing import hash_texts
from pipelines.features.replay import Replay
from pipelines.features.vectors import ALWAYS, no_vectors
from pipelines.models.text_space import text_space
from tests.builders_features import (
    MINUTE,
    NOW,
    SHOP,
    a_decision,
    a_history,
    an_event,
    definitions_of,
    read_last,
)

ITEMS = ["i1", "i2", "i3", "i4"]
ORDER = np.argsort(hash_texts(pa.array(ITEMS)))


def near(*numbers):
    return pytest.approx(list(numbers), rel=1e-6, abs=1e-7, nan_ok=True)


def vectors_of(**parts):
    """Vectors of i1 to i4 with these parts, whose rows are given in the order of the items."""
    keys = hash_texts(pa.array(ITEMS))[ORDER]
    flat, starts = np.zeros((4, 0), np.float32), np.zeros(5, np.int64)
    empty = {"text": flat, "image": flat, "behaviour": flat[None], "lengths": np.zeros(4, np.float32)}
    shaped = {"item_keys": keys, "count_starts": starts, "pair_starts": starts[None]} | empty
    given = {name: np.asarray(rows, np.float32)[..., ORDER, :] for name, rows in parts.items()}
    blocks = np.array([ALWAYS, NOW][: len(given.get("behaviour", [0]))])
    return dataclasses.replace(no_vectors(), **shaped | given | {"blocks": blocks})


def clicked(*items, at=NOW - MINUTE):
    return [an_event(item_id=item, event_time=at + n) for n, item in enumerate(items)]


ROOT = math.sqrt(0.5)
IMAGES = [[1, 0], [0, 1], [ROOT, ROOT], [0, 0]]
LIKE = (
    "  - {name: like, kind: vector_similarity, space: image, of: click, last: 2, aggregate: [mean, max]}\n"
    "  - {name: has, kind: has_vector, space: image}\n"
)


def like(rows, vectors=None):
    asked = a_decision(items=[*ITEMS, "unheard of"])
    return read_last([*rows, asked], LIKE, vectors=vectors or vectors_of(image=IMAGES))


def test_likeness_is_the_cosine_with_the_mean_and_the_largest_with_one():
    found = like(clicked("i1", "i2"))
    assert found["like_mean"] == near(ROOT, ROOT, 1, math.nan, math.nan)
    assert found["like_max"] == near(1, 1, ROOT, math.nan, math.nan)
    assert found["has"] == [1, 1, 1, 0, 0]


def test_only_the_latest_items_count_and_those_without_a_vector_do_not():
    assert like(clicked("i2", "i1", "i4"))["like_mean"] == near(1, 0, ROOT, math.nan, math.nan)
    assert like(clicked("i2", "i1", "i1"))["like_mean"] == near(1, 0, ROOT, math.nan, math.nan)


@pytest.mark.parametrize("count", [7, 8, 9, 16, 30])
def test_the_likest_of_many_items_is_found_wherever_it_stands(count):
    features = LIKE.replace("last: 2", "last: 31")
    rows = [*clicked("i1", *["i2"] * count), a_decision(items=ITEMS)]
    found = read_last(rows, features, vectors=vectors_of(image=IMAGES))
    assert found["like_max"] == near(1, 1, ROOT, math.nan)
    length = math.hypot(1, count)
    assert found["like_mean"] == near(1 / length, count / length, (1 + count) * ROOT / length, math.nan)


def test_likeness_is_missing_without_a_past_or_without_vectors():
    nothing = near(*[math.nan] * 5)
    for found in (like([]), like(clicked("i4", "unheard of")), like(clicked("i1"), vectors_of())):
        assert found["like_mean"] == nothing
        assert found["like_max"] == nothing


def test_tastes_that_cancel_out_like_nothing():
    opposite = vectors_of(image=[[1, 0], [-1, 0], [0, 1], [0, 0]])
    assert like(clicked("i1", "i2"), opposite)["like_mean"] == near(0, 0, 0, math.nan, math.nan)


def test_behaviour_is_that_of_the_block_in_which_the_decision_was_made():
    before, after = [[1, 0], [0, 1], [1, 0], [0, 1]], [[1, 0], [1, 0], [0, 1], [0, 1]]
    vectors = vectors_of(behaviour=[before, after])
    features = "  - {name: like, kind: vector_similarity, space: behaviour, of: click}\n"
    for moment, expected in ((NOW - 1, [1, 0, 1, 0]), (NOW, [1, 1, 0, 0])):
        rows = [*clicked("i1"), a_decision(items=ITEMS, event_time=moment)]
        assert read_last(rows, features, vectors=vectors)["like"] == near(*expected)


def test_neighbours_of_the_latest_items_add_up():
    place = np.argsort(ORDER)  # of an item in the vectors
    pairs = {("i1", "i2"): 0.5, ("i1", "i3"): -1.0, ("i2", "i3"): 0.25}
    rows = sorted((place[ITEMS.index(h)], place[ITEMS.index(j)], score) for (h, j), score in pairs.items())
    vectors = dataclasses.replace(
        vectors_of(),
        pair_starts=np.searchsorted([h for h, _, _ in rows], np.arange(5))[None].astype(np.int64),
        pair_items=np.array([j for _, j, _ in rows]),
        pair_scores=np.array([score for _, _, score in rows], np.float32),
    )
    features = "  - {name: goes, kind: covisited, of: click, last: 3, aggregate: [sum, max]}\n"

    def goes(*past):
        rows = [*clicked(*past), a_decision(items=[*ITEMS, "unheard of"])]
        return read_last(rows, features, vectors=vectors)

    found = goes("i1", "i2", "i4")
    assert found["goes_sum"] == near(0, 0.5, -0.75, 0, math.nan)
    assert found["goes_max"] == near(0, 0.5, 0.25, 0, math.nan)
    for past in ([], ["i4"], ["unheard of"]):
        assert goes(*past)["goes_sum"] == near(*[math.nan] * 5)


TERMS = [["red", "red", "shoe"], ["blue", "shoe"], ["kettle"], []]
MATCH = "  - {name: match, kind: query_match, measure: [bm25, cosine]}\n"


def match(query):
    space = text_space([TERMS[n] for n in ORDER], [], size=3, most_terms=100, seed=1)
    vectors = dataclasses.replace(vectors_of(), **vars(space))
    asked = a_decision(items=[*ITEMS, "unheard of"], query=query)
    return read_last([asked], MATCH, vectors=vectors)


def test_bm25_by_hand():
    found = match("Red shoes, SHOE!")
    idf = {n: math.log(1 + (4 - n + 0.5) / (n + 0.5)) for n in (1, 2)}
    mean = 6 / 3  # terms of an item that has any

    def term(n, times, length):
        return idf[n] * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length / mean))

    first = term(1, 2, 3) + term(2, 1, 3)
    assert found["match_bm25"] == near(first, term(2, 1, 2), 0, math.nan, math.nan)


def test_the_cosine_of_a_query_is_that_of_its_terms():
    found = match("kettle")["match_cosine"]
    assert found[:3] == pytest.approx([0, 0, 1], abs=1e-5)
    assert found[3:] == near(math.nan, math.nan)
    assert match("red")["match_cosine"][0] > match("red")["match_cosine"][1]


def test_without_a_query_there_is_no_match():
    for query in (None, "", "…"):
        assert match(query)["match_bm25"] == near(*[math.nan] * 5)
    unknown = match("ζώνη")
    assert unknown["match_bm25"] == near(0, 0, 0, math.nan, math.nan)
    assert unknown["match_cosine"] == near(*[math.nan] * 5)


def test_the_hash_of_the_definitions_names_the_vectors():
    plain = "  - {name: n, kind: count, of: click, by: item}\n"
    larger = SHOP.replace("size: 2", "size: 1")
    assert definitions_of(LIKE).needs_vectors
    assert not definitions_of(plain).needs_vectors
    assert hash_in(LIKE, larger) != hash_in(LIKE, SHOP)
    assert hash_in(plain, larger) == hash_in(plain, SHOP), "features without vectors do not depend on them"


def hash_in(features, shop):
    return compile_definitions(parse_domain(shop + features, "shop.yml")).hash


def test_features_of_vectors_are_refused_without_them():
    definitions = definitions_of(LIKE)
    replay = Replay(definitions, Catalog(definitions))
    with pytest.raises(FeatureError, match="are computed from vectors, and none are given"):
        replay.advance(a_history([a_decision()], definitions))


@pytest.mark.parametrize(
    ("feature", "problem"),
    [
        ("{name: n, kind: has_vector, space: text}", "space: needs `text`, but `vectors:` builds covisits"),
        ("{name: n, kind: query_match}", "kind: needs `text`, but `vectors:` builds covisits"),
        ("{name: n, kind: has_vector, space: sound}", "space: Invalid enum value 'sound'"),
        ("{name: n, kind: covisited, of: click, last: 129}", "last: must be between 1 and 128, not 129"),
        ("{name: n, kind: covisited, of: clik}", "of: unknown event type 'clik'; did you mean 'click'"),
    ],
)
def test_a_feature_that_no_vectors_are_built_for_is_told(feature, problem):
    shop = SHOP.replace(SHOP[SHOP.index("  text: {of") : SHOP.index("  covisits:")], "")
    with pytest.raises(DomainError) as caught:
        compile_definitions(parse_domain(f"{shop}  - {feature}\n", "shop.yml"))
    assert f"features[0].{problem}" in str(caught.value)


def test_a_domain_without_the_section_is_told_what_to_add():
    shop = SHOP[: SHOP.index("vectors:")] + "features:\n"
    with pytest.raises(DomainError, match=r"`vectors:` builds nothing: add `text` to that section"):
        compile_definitions(parse_domain(f"{shop}  - {{name: n, kind: query_match}}\n", "shop.yml"))
