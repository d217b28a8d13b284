"""Features of the session and of the query, worked out by hand."""

import math

import pytest

from pipelines.domain import parse_domain
from pipelines.errors import DomainError
from pipelines.features.definitions import compile_definitions
from tests.builders_features import (
    HOUR,
    MINUTE,
    NOW,
    SHOP,
    a_decision,
    an_event,
    an_item,
    definitions_of,
    read_last,
)

VISIT = "  - {name: v, kind: session, measure: [acts, length, pause, dwell]}\n"


def near(*numbers):
    return pytest.approx(list(numbers), rel=1e-6, nan_ok=True)


def at(minutes, **fields):
    return an_event(event_time=NOW + minutes * MINUTE, arrived_at=NOW - HOUR, **fields)


def visit(*minutes, now):
    made, acts = NOW + now * MINUTE, [at(m) for m in minutes]
    asked = a_decision(event_time=made, as_of=made, arrived_at=NOW - HOUR, items=["i1"])
    found = read_last([*acts, asked], VISIT)
    return [found[f"v_{measure}"][0] for measure in ("acts", "length", "pause", "dwell")]


def seconds(minutes):
    return math.log1p(minutes * 60)


def test_a_session_has_acts_a_length_a_pause_and_a_dwell_time():
    assert visit(0, 10, 16, now=20) == near(3, seconds(20), seconds(4), seconds(8))


def test_a_longer_pause_begins_a_new_session():
    assert visit(0, 10, 41, now=43) == near(1, seconds(2), seconds(2), math.nan)
    assert visit(0, 10, 40, now=43)[0] == 3, "30 minutes are still inside"


def test_a_visitor_who_comes_back_or_is_new_has_no_session_yet():
    assert visit(0, now=31) == near(0, 0, math.nan, math.nan)
    assert visit(now=0) == near(0, 0, math.nan, math.nan)


def test_an_act_of_a_session_before_does_not_count_in_this_one():
    assert visit(120, 10, 125, now=126)[:2] == near(2, seconds(6))


def test_an_act_that_arrives_late_may_have_begun_the_session():
    assert visit(20, 0, now=21)[:2] == near(2, seconds(21))


def test_counts_by_session_begin_anew():
    features = (
        "  - {name: searches, kind: count, of: search, by: session}\n"
        "  - {name: seen, kind: count, of: shown, by: [session, item], slots: 8}\n"
        "  - {name: brand, kind: count, of: click, by: [session, brand], slots: 8}\n"
        "  - {name: ever, kind: count, of: shown, by: [user, item]}\n"
    )
    items = [an_item("i1", brand="acme"), an_item("i2", brand="acme"), an_item("i3", brand="bolt")]
    shown = a_decision(event_time=NOW, items=["i1", "i2"])
    rows = [
        an_event(event_type="search", item_id=None, event_time=NOW - 1),
        shown,
        an_event(event_time=NOW + MINUTE),
        a_decision(event_time=NOW + 2 * MINUTE),
    ]
    found = read_last(rows, features, items)
    assert found["searches"] == near(1, 1, 1)
    assert found["seen"] == near(1, 1, 0)
    assert found["brand"] == near(1, 1, 0)
    later = read_last([*rows, a_decision(event_time=NOW + HOUR)], features, items)
    assert later["searches"] == near(0, 0, 0)
    assert later["seen"] == near(0, 0, 0)
    assert later["brand"] == near(0, 0, 0)
    assert later["ever"] == near(2, 2, 1)


def test_the_shop_says_how_long_a_pause_ends_a_session():
    def hash_of(text, features=VISIT):
        return compile_definitions(
            parse_domain(SHOP.replace("attributes:", text, 1) + features, "s.yml")
        ).hash

    longer = "session_minutes: 60\nattributes:"
    assert hash_of(longer) != hash_of("attributes:") == definitions_of(VISIT).hash
    plain = "  - {name: n, kind: count, of: click, by: item}\n"
    assert hash_of(longer, plain) == hash_of("attributes:", plain), "without sessions it means nothing"
    with pytest.raises(DomainError, match=r"session_minutes: must be between 1 and 1440, not 0"):
        hash_of("session_minutes: 0\nattributes:")


ASKED = (
    "  - {name: asked, kind: count, of: decision, by: query}\n"
    "  - {name: clicks, kind: count, of: click, by: [query, item]}\n"
    "  - {name: rate, kind: rate, of: click, by: [query, item], smooth: 0}\n"
    "  - {name: brand, kind: count, of: click, by: [query, brand]}\n"
)


def test_counts_by_query_are_of_what_was_asked_last():
    items = [an_item("i1", brand="acme"), an_item("i2", brand="acme")]
    rows = [
        a_decision(query="red shoes", event_time=NOW, items=["i1", "i2"]),
        an_event(item_id="i1", event_time=NOW + 1),
        a_decision(query="kettle", user_id="bob", event_time=NOW + 2, items=["i1"]),
        an_event(item_id="i1", user_id="bob", event_time=NOW + 3),
        an_event(item_id="i2", event_type="search", query="kettle", event_time=NOW + 4),
        an_event(item_id="i2", event_time=NOW + 5),
    ]
    found = read_last(
        [*rows, a_decision(user_id="cleo", query="RED shoes!", event_time=NOW + 9)], ASKED, items
    )
    assert found["asked"] == near(1, 1, 1)
    assert found["clicks"] == near(1, 0, 0)
    assert found["rate"] == near(1, 0, math.nan)
    assert found["brand"] == near(1, 1, math.nan)


def test_without_a_query_nothing_is_known_by_it():
    rows = [
        an_event(event_time=NOW - 1),
        a_decision(),
        an_event(event_time=NOW + 1),
        a_decision(event_time=NOW + 2),
    ]
    found = read_last(rows, ASKED)
    assert found["asked"] == near(*[math.nan] * 3)
    assert found["clicks"] == near(*[math.nan] * 3)


def test_a_list_without_a_query_ends_the_query():
    rows = [
        a_decision(query="shoes", event_time=NOW),
        a_decision(event_time=NOW + 1),
        an_event(event_time=NOW + 2),
        a_decision(query="shoes", event_time=NOW + 3),
    ]
    assert read_last(rows, ASKED)["clicks"] == near(0, 0, 0)
