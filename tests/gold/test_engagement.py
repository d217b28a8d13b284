"""Engagement: each kind of metric, each kind of segment, and what has no segment."""

import pytest

from pipelines.errors import DomainError
from pipelines.gold.engagement import engagement
from tests.builders_gold import SHOP, a_decision, a_shop, an_event, an_item, at, decisions, events, items

CATALOG = (
    an_item("hat", category="hats", tags=["red", "new"]),
    an_item("shoe", category="shoes"),
    an_item("shoe", minutes=10, category="boots", tags=["new"]),
)


def found(spark, rows, lists=(), catalog=CATALOG):
    frame = engagement(
        events(spark, *rows), decisions(spark, *lists), items(spark, *catalog), a_shop(), revision=1
    )
    rows = frame.toArrow().to_pylist()
    assert not any(r["is_removed"] for r in rows)
    return {(r["minute"], r["segment"], r["metric"]): (r["value"], r["exposure"]) for r in rows}


def in_segment(figures, segment, minute=0):
    return {
        metric: value
        for (when, where, metric), value in figures.items()
        if (when, where) == (at(minute), segment)
    }


def test_each_kind_of_metric_per_minute(spark):
    bought = {"event_type": "purchase", "price_minor": 100, "currency": "EUR"}
    rows = [
        an_event(0, "search", source="web"),
        an_event(0.5, "click", item_id="hat", source="web", price_minor=77),
        an_event(0.9, **bought, item_id="hat", quantity=3, user_id="bob"),
        an_event(1, "click", item_id="hat", user_id="bob"),
    ]
    figures = found(spark, rows, [a_decision(0, ["hat", "shoe", "hat"], source="web")])
    assert in_segment(figures, "all") == {
        "events": (3, None),
        "active_users": (2, None),
        "searches": (1, None),
        "lists": (1, None),
        "shown": (3, None),
        "clicks": (1, None),
        "click_through": (1 / 3, 3),
        "revenue": (300, None),
    }
    assert in_segment(figures, "all", minute=1) == {
        "events": (1, None),
        "active_users": (1, None),
        "clicks": (1, None),
    }
    assert in_segment(figures, "source=unknown") == {
        "events": (1, None),
        "active_users": (1, None),
        "revenue": (300, None),
    }
    assert in_segment(figures, "source=web")["click_through"] == (1 / 3, 3)


def test_exposure_without_success_is_a_ratio_of_zero(spark):
    figures = found(spark, [], [a_decision(0, ["hat"])])
    assert in_segment(figures, "all")["click_through"] == (0, 1)
    assert "clicks" not in in_segment(figures, "all")


def test_a_row_counts_in_the_segment_of_each_tag_and_lists_by_their_items(spark):
    rows = [an_event(0, "click", item_id="hat"), an_event(0, "search")]
    figures = found(spark, rows, [a_decision(0, ["hat", "shoe"])])
    for segment in ("category=hats", "tags=red", "tags=new"):
        assert in_segment(figures, segment) == {
            "events": (1, None),
            "active_users": (1, None),
            "shown": (1, None),
            "clicks": (1, None),
            "click_through": (1, 1),
        }
    assert in_segment(figures, "category=shoes") == {"shown": (1, None), "click_through": (0, 1)}
    assert in_segment(figures, "tags=unknown") == in_segment(figures, "category=shoes")


def test_an_item_is_in_the_segment_that_it_had_at_that_time(spark):
    rows = [an_event(9, "click", item_id="shoe"), an_event(10, "click", item_id="shoe")]
    figures = found(spark, rows)
    assert {(when, where) for when, where, _ in figures if where.startswith("category")} == {
        (at(9), "category=shoes"),
        (at(10), "category=boots"),
    }


def test_an_item_that_the_catalog_does_not_know_is_in_the_unknown_segments(spark):
    figures = found(
        spark,
        [an_event(0, "click", item_id="ghost"), an_event(0, "click", item_id="late")],
        catalog=(an_item("late", 5),),
    )
    assert in_segment(figures, "category=unknown") == in_segment(figures, "tags=unknown")
    assert in_segment(figures, "category=unknown")["clicks"] == (2, None)


@pytest.mark.parametrize(
    ("metric", "problem"),
    [
        ("{name: x, count: clik}", r"corner.yml:\d+: metrics\[8\].count: .*did you mean 'click'"),
        (
            "{name: x, ratio: [clicks, shwn]}",
            r"metrics\[8\].ratio: no count metric 'shwn'; did you mean 'shown'",
        ),
        ("{name: x, sum: user_id}", r"metrics\[8\].sum: 'user_id' is not a number"),
        ("{name: x, sum: revenue, distinct: user_id}", r"metrics\[8\]: give exactly one"),
    ],
)
def test_a_wrong_metric_is_an_error_that_says_where(metric, problem):
    with pytest.raises(DomainError, match=problem):
        a_shop(SHOP.replace("segments:", f"  - {metric}\nsegments:"))
