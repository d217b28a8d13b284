"""User profiles: the sum of a user's sessions, and what the user likes."""

import datetime

from pipelines.gold.sessions import sessions
from pipelines.gold.user_profiles import user_profiles
from tests.builders_gold import a_decision, a_shop, an_event, an_item, at, decisions, events, items

CATALOG = [
    an_item("hat", category="hats", tags=["red", "new"]),
    an_item("cap", category="hats", tags=["blue"]),
    an_item("shoe", category="shoes", tags=["new"]),
    an_item("hat", minutes=500, category="retired", tags=["old"]),
]


def found(spark, rows, lists=()):
    theirs = sessions(
        events(spark, *rows), decisions(spark, *lists), datetime.timedelta(minutes=30), revision=1
    )
    profiles = user_profiles(theirs, items(spark, *CATALOG), a_shop(), revision=5).toArrow().to_pylist()
    return {r["user_id"]: r for r in profiles}


def test_a_profile_sums_the_sessions(spark):
    bought = {"event_type": "purchase", "item_id": "hat", "price_minor": 100, "currency": "EUR"}
    rows = [
        an_event(0, "search"),
        an_event(1, **bought),
        an_event(100, **bought),
        an_event(5, "view", "bob", item_id="hat"),
    ]
    profile = found(spark, rows, [a_decision(101)])["ann"]
    assert (profile["first_seen"], profile["last_seen"]) == (at(0), at(101))
    assert (profile["events"], profile["sessions"], profile["revision"]) == (4, 2, 5)
    assert dict(profile["counts"]) == {"search": 1, "purchase": 2, "decision": 1}
    assert dict(profile["revenue_minor"]) == {"EUR": 200}


def test_favourites_are_the_values_touched_most_and_the_first_in_the_alphabet_among_equals(spark):
    rows = [an_event(m, item_id=item) for m, item in enumerate(["shoe", "hat", "cap", "cap", "shoe"])]
    assert dict(found(spark, rows)["ann"]["favourites"]) == {"category": "hats", "tags": "new"}
    rows = [an_event(0, item_id="hat"), an_event(1, item_id="cap")]
    assert dict(found(spark, rows)["ann"]["favourites"]) == {"category": "hats", "tags": "blue"}


def test_favourites_have_the_values_of_the_time_of_the_session(spark):
    rows = [an_event(0, "click", item_id="hat"), an_event(600, "click", "bob", item_id="hat")]
    profiles = found(spark, rows)
    assert dict(profiles["ann"]["favourites"])["category"] == "hats"
    assert dict(profiles["bob"]["favourites"]) == {"category": "retired", "tags": "old"}


def test_who_touched_nothing_that_is_known_has_no_favourites(spark):
    rows = [an_event(0, "search"), an_event(0, "click", "bob", item_id="ghost")]
    assert {user: dict(p["favourites"]) for user, p in found(spark, rows).items()} == {"ann": {}, "bob": {}}
