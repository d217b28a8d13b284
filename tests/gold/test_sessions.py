"""Sessions: where they begin and end, and what they add up."""

import datetime

from pipelines.gold.sessions import sessions
from tests.builders_gold import a_decision, an_event, at, decisions, events

GAP = datetime.timedelta(minutes=30)


def found(spark, rows, lists=()):
    frame = sessions(events(spark, *rows), decisions(spark, *lists), GAP, revision=7)
    return sorted(frame.toArrow().to_pylist(), key=lambda r: (r["user_id"], r["session_start"]))


def test_a_pause_of_exactly_the_gap_stays_inside_and_a_longer_one_ends_the_session(spark):
    rows = found(spark, [an_event(0), an_event(30), an_event(60 + 1 / 60), an_event(61)])
    assert [(r["session_start"], r["session_end"], r["events"]) for r in rows] == [
        (at(0), at(30), 2),
        (at(60 + 1 / 60), at(61), 2),
    ]


def test_users_do_not_share_sessions(spark):
    rows = found(spark, [an_event(0, user_id="ann"), an_event(1, user_id="bob"), an_event(2, user_id="ann")])
    assert [(r["user_id"], r["events"]) for r in rows] == [("ann", 2), ("bob", 1)]


def test_a_list_that_is_shown_keeps_a_session_going(spark):
    rows = found(spark, [an_event(0), an_event(50)], [a_decision(25)])
    assert [(r["session_end"], r["events"], dict(r["counts"])) for r in rows] == [
        (at(50), 3, {"view": 2, "decision": 1})
    ]


def test_a_session_counts_types_items_and_revenue_by_currency(spark):
    bought = {"event_type": "purchase", "price_minor": 250}
    rows = [
        an_event(0, "search", source=None),
        an_event(1, "view", item_id="hat", source="web"),
        an_event(2, "click", item_id="hat", source="mobile", price_minor=999, currency="EUR"),
        an_event(3, **bought, item_id="hat", currency="EUR", quantity=3),
        an_event(4, **bought, item_id="shoe", currency="EUR"),
        an_event(5, **bought, item_id="shoe", currency="USD", quantity=1),
        an_event(6, **bought, item_id="shoe"),
    ]
    [session] = found(spark, rows)
    assert dict(session["counts"]) == {"search": 1, "view": 1, "click": 1, "purchase": 4}
    assert (session["events"], session["items"], dict(session["items_touched"])) == (
        7,
        2,
        {"hat": 3, "shoe": 3},
    )
    assert dict(session["revenue_minor"]) == {"EUR": 1000, "USD": 250, "unknown": 250}
    assert (session["source"], session["revision"], session["is_removed"]) == ("web", 7, False)
    assert session["session_date"] == datetime.date(2026, 3, 1)


def test_a_sum_that_no_bigint_holds_is_published_as_the_largest(spark):
    dear = {"event_type": "purchase", "price_minor": 2**62, "currency": "EUR", "quantity": 3}
    [session] = found(spark, [an_event(0, **dear), an_event(1, **dear)])
    assert dict(session["revenue_minor"]) == {"EUR": 2**63 - 1}
