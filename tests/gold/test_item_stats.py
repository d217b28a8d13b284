"""Item statistics per day, and over the last days."""

import datetime

from pipelines.gold.item_stats import item_stats, rolling_item_stats
from tests.builders_gold import a_decision, an_event, decisions, events

FIRST, SECOND = datetime.date(2026, 3, 1), datetime.date(2026, 3, 2)
DAY = 24 * 60


def by_item_and_day(spark):
    rows = [
        an_event(0, "view", item_id="hat", user_id="ann"),
        an_event(1, "view", item_id="hat", user_id="ann"),
        an_event(2, "purchase", item_id="hat", user_id="bob", price_minor=100, quantity=2, currency="EUR"),
        an_event(3, "search", user_id="cyd"),
        an_event(DAY, "click", item_id="hat", user_id="bob"),
    ]
    lists = [a_decision(0, ["hat", "shoe", "hat"]), a_decision(DAY, ["shoe"])]
    return item_stats(events(spark, *rows), decisions(spark, *lists), revision=3)


def test_a_day_counts_lists_types_users_and_revenue_of_an_item(spark):
    rows = {(r["item_id"], r["day"]): r for r in by_item_and_day(spark).toArrow().to_pylist()}
    assert set(rows) == {("hat", FIRST), ("hat", SECOND), ("shoe", FIRST), ("shoe", SECOND)}
    hat = rows["hat", FIRST]
    assert (hat["shown"], dict(hat["counts"]), hat["users"]) == (1, {"view": 2, "purchase": 1}, 2)
    assert (dict(hat["revenue_minor"]), hat["revision"]) == ({"EUR": 200}, 3)
    assert (
        rows["shoe", SECOND]["shown"],
        dict(rows["shoe", SECOND]["counts"]),
        rows["shoe", SECOND]["users"],
    ) == (1, {}, 0)


def test_rolling_statistics_add_the_last_days_up_to_the_given_one(spark):
    rolled = rolling_item_stats(by_item_and_day(spark), [1, 7], SECOND).toArrow().to_pylist()
    rows = {(r["item_id"], r["days"]): r for r in rolled}
    assert {key: (r["shown"], dict(r["counts"]), r["user_days"]) for key, r in rows.items()} == {
        ("hat", 1): (0, {"click": 1}, 1),
        ("hat", 7): (1, {"view": 2, "purchase": 1, "click": 1}, 3),
        ("shoe", 1): (1, {}, 0),
        ("shoe", 7): (2, {}, 0),
    }
    assert dict(rows["hat", 7]["revenue_minor"]) == {"EUR": 200}
    assert rows["hat", 7]["as_of"] == SECOND


def test_days_after_the_given_one_are_not_seen(spark):
    rows = rolling_item_stats(by_item_and_day(spark), [7], FIRST).toArrow().to_pylist()
    assert {(r["item_id"], r["shown"]) for r in rows} == {("hat", 1), ("shoe", 1)}
