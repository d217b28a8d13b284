"""The batch step: vectors and neighbours by hand, the same bytes from the same rows, and what has none."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from pipelines import settings as settings_module
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.domain import parse_domain
from pipelines.errors import DomainError, FeatureError, TrainingError
from pipelines.features.hashing import hash_text
from pipelines.features.vectors import ALWAYS, Vectors, no_vectors
from pipelines.features.words import phrase, query_terms, words
from pipelines.models.behaviour_space import Touches, behaviour_vectors, covisits
from pipelines.models.text_space import text_space
from pipelines.models.vectors import ITEM_COLUMNS, Material, build_vectors, material
from tests import builders_features as b

SHOP = b.SHOP[: b.SHOP.index("vectors:")] + "features:\n"
SECTION = """vectors:
  text: {of: [title, tags, brand], size: 4}
  behaviour: {of: [click], size: 4}
  image: {of: image, size: 2}
  covisits: {of: [click, purchase], keep: 3, smooth: 2}
"""
DOMAIN = parse_domain(SHOP.replace("features:\n", f"{SECTION}features: []\n"), "shop.yml")
SETTINGS = dataclasses.replace(settings_module.load(environ={}).vectors, blocks=3)
UNTIL = b.NOW + b.DAY


def an_item(item_id, title=None, image=None, since=0, **attributes):
    row = b.an_item(item_id, since, **attributes)
    texts = {} if title is None else {"title": title}
    return row | {"texts": texts, "vectors": {} if image is None else {"image": image}, "offset": since}


CATALOG = [
    an_item("i1", "Red shoe", [1.0, 0.0, 0.0], tags=["soft leather"]),
    an_item("i2", "red BOOT", [0.9, 0.1, 0.0], brand="Acme"),
    an_item("i3", "Blue kettle", [0.0, 0.0, 1.0]),
    an_item("i4"),
]


def clicks(*pairs, at=b.NOW):
    return [b.an_event(user_id=user, item_id=item, event_time=at + n) for n, (user, item) in enumerate(pairs)]


HISTORY = [
    *(b.a_decision(user_id=f"u{n}", event_time=b.NOW + n, query="red shoes") for n in range(4)),
    *clicks(*((f"u{n % 4}", f"i{1 + n // 4 % 3}") for n in range(11) if n != 5), at=b.NOW + b.HOUR),
]


def built(spark, rows=HISTORY, items=CATALOG, partitions=1, until=UNTIL, domain=DOMAIN):
    events, decisions = b.silver(rows)
    tables = (
        spark.createDataFrame(found, contract.schema).repartition(partitions)
        for contract, found in ((ITEMS, b.table(ITEMS, items)), (EVENTS, events), (DECISIONS, decisions))
    )
    return build_vectors(material(domain, until, *tables), domain, SETTINGS)


@pytest.fixture(scope="module")
def usual(spark):
    return built(spark)


def row_of(vectors, item):
    return int(np.flatnonzero(vectors.item_keys == hash_text(item))[0])


def test_words_have_no_case_and_no_ways_of_writing():
    assert words("Ärmel-lose T_Shirts 2er, ИГРА 東京") == [
        "ärmel",
        "lose",
        "t",
        "shirts",
        "2er",
        "игра",
        "東京",
    ]
    assert words("A\u0308rmel ﬁsh") == words("ärmel FISH")
    assert phrase("Science  Fiction") == ["science", "fiction", "science fiction"]
    assert query_terms("red RED").tolist() == sorted({hash_text("red"), hash_text("red red")})
    assert query_terms(None).size == query_terms("…!").size == 0


def test_counts_and_weights_of_terms_are_those_of_bm25():
    space = text_space([["red", "red", "shoe"], ["red"], [], ["kettle"]], [["green"]], 2, 100, seed=1)
    place = {key: n for n, key in enumerate(space.term_keys)}
    red = place[hash_text("red")]
    assert space.term_idf[red] == pytest.approx(math.log(1 + (4 - 2 + 0.5) / (2 + 0.5)))
    assert space.lengths.tolist() == pytest.approx([3 / (5 / 3), 1 / (5 / 3), 0, 1 / (5 / 3)])
    first = slice(space.count_starts[0], space.count_starts[1])
    assert dict(zip(space.count_terms[first], space.counts[first], strict=True)) == {
        red: 2,
        place[hash_text("shoe")]: 1,
    }
    assert hash_text("green") in space.term_keys, "a query's own words are in the space"


def test_the_commonest_terms_are_kept():
    space = text_space([["a", "b"], ["b", "c"], ["b", "a"]], [["c"], ["c"]], 2, 2, seed=1)
    assert set(space.term_keys) == {hash_text("b"), hash_text("c")}


def test_text_vectors_of_two_groups_are_alike_within_and_apart_between():
    groups = [["red", "shoe"], ["red", "boot"], ["kettle", "water"], ["water", "pan"]]
    text = text_space(groups, [], 2, 100, seed=1).text
    likeness = text @ text.T
    assert likeness[0, 1] > 0.99
    assert likeness[2, 3] > 0.99
    assert abs(likeness[0, 2]) < 1e-5
    np.testing.assert_allclose(np.linalg.norm(text, axis=1), 1, rtol=1e-6)


def test_neighbours_are_how_much_more_often_than_usual():
    liked = sp.csr_matrix(np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0]], float))
    shown = sp.csr_matrix(np.array([[1, 1, 1], [1, 1, 0], [0, 1, 1]], float))
    found = covisits(liked, shown, smooth=2.0, keep=5)
    overall = 4 / 7
    own = (2 + 2 * overall) / (3 + 2)  # of i1: liked by 2 of the 3 who met it
    expected = math.log((1 + 2 * own) / (2 + 2) / own)
    of_first = slice(found.starts[0], found.starts[1])
    scores = dict(zip(found.items[of_first], found.scores[of_first], strict=True))
    assert scores[1] == pytest.approx(expected)
    assert set(scores) == {1, 2}, "an item is no neighbour of itself"
    assert covisits(liked, shown, smooth=2.0, keep=1).items.size == 2, (
        "of an item nobody liked there are none"
    )


def test_liked_together_means_alike():
    liked = np.zeros((8, 5))
    liked[:4, :2] = 1
    liked[4:, 2:4] = 1
    vectors = behaviour_vectors(sp.csr_matrix(liked), 2, seed=1)
    assert vectors[0] @ vectors[1] == pytest.approx(1, abs=1e-5)
    assert abs(vectors[0] @ vectors[2]) < 1e-5
    assert not vectors[4].any(), "an item that nobody liked has no vector"


def test_of_a_user_with_many_items_the_latest_count():
    n = np.arange(10)
    matrix = Touches(np.zeros(10, np.int64), n, n * 5).matrix(1, 10, most=3).toarray()
    assert np.flatnonzero(matrix[0]).tolist() == [7, 8, 9]


def test_the_same_rows_give_the_same_bytes_in_any_order_and_partitioning(spark, usual):
    once, again = usual, built(spark, HISTORY[::-1], CATALOG[::-1], partitions=4)
    assert once.version == again.version
    assert once.to_bytes() == again.to_bytes() == Vectors.from_bytes(again.to_bytes()).to_bytes()
    assert once.version != built(spark, HISTORY[:-1]).version


def test_an_item_is_what_it_was_at_the_cut(spark, usual):
    later = an_item("i1", "Green hat", since=UNTIL + 1)
    assert built(spark, items=[*CATALOG, later]).version == usual.version
    earlier = an_item("i1", "Green hat", since=UNTIL - 1)
    vectors = built(spark, items=[*CATALOG, earlier])
    assert hash_text("hat") in vectors.term_keys
    assert hash_text("leather") not in vectors.term_keys


def test_no_block_knows_what_arrived_in_its_own_time(spark, usual):
    vectors = usual
    assert vectors.blocks[0] == ALWAYS
    assert vectors.blocks[-1] == UNTIL
    assert not vectors.behaviour[0].any()
    for number, start in enumerate(vectors.blocks[1:].tolist(), 1):
        past = [row for row in HISTORY if row["arrived_at"] < start]
        alone = built(spark, past, until=start)
        np.testing.assert_array_equal(alone.behaviour[-1], vectors.behaviour[number])


def test_what_happens_after_the_cut_plays_no_part(spark, usual):
    after = clicks(("u0", "i3"), ("u1", "i3"), at=UNTIL)
    assert built(spark, [*HISTORY, *after]).version == usual.version


def test_an_item_without_something_has_zeros_there(usual):
    vectors = usual
    nothing = row_of(vectors, "i4")
    for part in (vectors.text, vectors.image, vectors.behaviour[-1]):
        assert not part[nothing].any()
        np.testing.assert_allclose(np.linalg.norm(part[row_of(vectors, "i3")]), 1, rtol=1e-6)


def test_images_differ_where_pictures_differ(usual):
    vectors = usual
    one, two, other = (vectors.image[row_of(vectors, item)] for item in ("i1", "i2", "i3"))
    assert one @ two > 0.9
    assert one @ other < 0


def untouched(items):
    """Vectors of items that nobody met."""
    touches = b.table(EVENTS, []).select(["user_id", "item_id", "event_type", "arrived_at"])
    known = b.table(ITEMS, items).select(["item_id", *ITEM_COLUMNS])
    return build_vectors(Material(known, touches, pa.array([], pa.string()), UNTIL), DOMAIN, SETTINGS)


@pytest.mark.parametrize("items", [[], CATALOG[:1], [an_item("i1")], [an_item("東京", "Ünïcode ﬁx")]])
def test_the_smallest_catalogs_have_vectors_too(items):
    vectors = untouched(items)
    assert Vectors.from_bytes(vectors.to_bytes()).version == vectors.version
    assert vectors.text.shape == (len(items), 4)
    assert vectors.blocks.tolist() == [ALWAYS]


def test_a_picture_of_the_wrong_length_is_an_error_that_names_the_item():
    with pytest.raises(TrainingError, match=r"item i9: 'image' has 2 numbers, the domain file says 3"):
        untouched([an_item("i9", image=[1.0, 2.0])])


def test_a_domain_without_vectors_has_none_to_build(spark):
    with pytest.raises(TrainingError, match=r"shop.yml declares no `vectors:`"):
        built(spark, domain=parse_domain(SHOP + "  []", "shop.yml"))


def test_damaged_vectors_are_refused():
    good = no_vectors()
    assert Vectors.from_bytes(good.to_bytes()).version == good.version
    with pytest.raises(FeatureError, match="damaged"):
        Vectors.from_bytes(good.to_bytes()[:60])
    outside = dataclasses.replace(good, count_starts=np.array([5]))
    with pytest.raises(FeatureError, match="count_starts do not fit the rest"):
        Vectors.from_bytes(outside.to_bytes())
    buffer = pa.BufferOutputStream()
    np.savez(buffer, about=np.zeros(1))
    with pytest.raises(FeatureError, match=r"are missing, \[\] are foreign; build them again"):
        Vectors.from_bytes(buffer.getvalue().to_pybytes())


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "of: [title, tags, brand]",
            "of: [titel]",
            "text.of: the domain has no attribute 'titel'; did you mean 'title'",
        ),
        (
            "of: [title, tags, brand]",
            "of: [price]",
            "text.of: 'price' is of kind number; attributes of kind text",
        ),
        (
            "of: [click], size",
            "of: [clik], size",
            "behaviour.of: unknown event type 'clik'; did you mean 'click'",
        ),
        ("of: [click], size", "of: [], size", "behaviour.of: names no event type"),
        ("of: image, size: 2", "of: image, size: 4", "image.size: 'image' has 3 numbers"),
        ("keep: 3", "keep: 0", "covisits.keep: must be between 1 and 1000, not 0"),
        ("smooth: 2", "smooth: 0", "covisits.smooth: must be above 0"),
        ("keep: 3", "kept: 3", "covisits.kept: unknown key 'kept'; did you mean 'keep'"),
        ("  covisits:", "  covisit:", "covisit: unknown key 'covisit'; did you mean 'covisits'"),
        ("size: 4}\n  b", "size: 999}\n  b", "text.size: must be between 1 and 256, not 999"),
    ],
)
def test_a_mistake_in_the_section_is_told_with_its_line(old, new, problem):
    assert SECTION.count(old) == 1
    text = SHOP.replace("features:\n", f"{SECTION.replace(old, new)}features: []\n")
    with pytest.raises(DomainError) as caught:
        parse_domain(text, "shop.yml")
    assert f"vectors.{problem}" in str(caught.value)
    line = text[: text.index(new)].count("\n") + 1
    assert str(caught.value).startswith(f"shop.yml:{line}:")
