"""Trends, priors, places, first times and cold starts, worked out by hand."""

import math

import pytest

from tests.builders_features import DAY, HOUR, MINUTE, NOW, a_decision, an_event, an_item, read_last


def near(*numbers):
    return pytest.approx(list(numbers), rel=1e-6, nan_ok=True)


def test_a_trend_compares_two_windows_as_if_they_were_of_one_length():
    features = "  - {name: t, kind: trend, of: click, by: item, window: 1h, against: 1d, smooth: 2}\n"
    ago = [1, 2, 3, 120, 180]  # minutes
    found = read_last([*(an_event(event_time=NOW - m * MINUTE) for m in ago), a_decision()], features)
    covered = (12 * 5 * MINUTE + 1) / (24 * HOUR + 1)  # NOW begins a bucket of each
    assert found["t"] == near(math.log((3 + 2) / (5 * covered + 2)), 0, 0)


def test_a_trend_is_steady_when_events_are():
    features = "  - {name: t, kind: trend, of: click, by: item, window: 1d, against: 30d, smooth: 0}\n"
    rows = [an_event(event_time=NOW - n * HOUR) for n in range(1, 31 * 24)]
    assert read_last([*rows, a_decision(items=["i1"])], features)["t"] == pytest.approx([0], abs=0.05)


def test_a_prior_is_the_rate_of_the_candidates_values_together():
    items = [an_item("i1", tags=["red", "new"]), an_item("i2", tags=["red"]), an_item("i3"), an_item("i4")]
    features = "  - {name: r, kind: rate, of: click, by: item, prior: tags, smooth: 2}\n"
    rows = [
        a_decision(items=["i1", "i2", "i4"], event_time=NOW - 9),
        an_event(item_id="i2", event_time=NOW - 8),
        a_decision(items=["i1", "i2", "i3"]),
    ]
    overall = 1 / 3
    red_and_new, red = (1 + 2 * overall) / (3 + 2), (1 + 2 * overall) / (2 + 2)
    expected = [2 * red_and_new / 3, (1 + 2 * red) / 3, (0 + 2 * overall) / 2]
    assert read_last(rows, features, items)["r"] == near(*expected)


def test_places_that_are_looked_at_less_count_less():
    features = "  - {name: r, kind: rate, of: click, by: item, smooth: 0, place_power: 0.5}\n"
    rows = [
        a_decision(items=["i1", "i2", "i3", "i4"], event_time=NOW - 9),
        an_event(item_id="i1", event_time=NOW - 8),
        an_event(item_id="i4", event_time=NOW - 7),
        a_decision(items=["i1", "i2", "i4"]),
    ]
    assert read_last(rows, features)["r"] == near(1, 0, 2)


def test_recency_can_be_since_the_first_time():
    features = "  - {name: r, kind: recency, of: click, by: item, since: first}\n"
    rows = [an_event(event_time=NOW - t) for t in (DAY, 90_000, 2 * DAY)]
    assert read_last([*rows, a_decision()], features)["r"] == near(math.log1p(2 * 86_400), math.nan, math.nan)


def test_a_cold_start_is_over_after_enough_events():
    features = (
        "  - {name: user, kind: cold_start, of: [view, click], by: user, below: 2}\n"
        "  - {name: item, kind: cold_start, of: shown, by: item}\n"
    )
    one = [a_decision(items=["i1"], event_time=NOW - 9), an_event(event_time=NOW - 8)]
    found = read_last([*one, a_decision()], features)
    assert found["user"] == [1, 1, 1]
    assert found["item"] == [0, 1, 1]
    assert read_last([*one, an_event(event_time=NOW - 7), a_decision()], features)["user"] == [0, 0, 0]


def test_a_learned_value_fades():
    items = [an_item("i1", brand="acme")]
    features = "  - {name: q, kind: learned, of: [click, purchase], by: brand, rate: 0.1, half_life: 1h}\n"
    click, sale = an_event(event_time=NOW - 2 * HOUR), an_event(event_type="purchase", event_time=NOW - HOUR)
    assert read_last([click, a_decision(items=["i1"])], features, items)["q"] == near(0.5 / 4)
    n, q = 0.5 + 1, 0.5 / 2
    q += (1.0 - q) / n
    assert read_last([click, sale, a_decision(items=["i1"])], features, items)["q"] == near(q / 2)


def test_a_late_event_makes_nothing_fade_backwards():
    items = [an_item("i1", brand="acme")]
    features = "  - {name: q, kind: learned, of: click, by: brand, rate: 0.1, half_life: 1h}\n"
    rows = [
        an_event(event_time=NOW),
        an_event(event_time=NOW - DAY, arrived_at=NOW),
        a_decision(items=["i1"]),
    ]
    assert read_last(rows, features, items)["q"] == near(0.5)


def test_an_age_is_since_the_catalog_knows_the_item():
    items = [an_item("i1", since=NOW - DAY), an_item("i1", since=NOW - HOUR), an_item("i2", since=NOW + 1)]
    found = read_last([a_decision()], "  - {name: a, kind: age}\n", items)
    assert found["a"] == near(math.log1p(86_400), math.nan, math.nan)


def test_a_number_is_compared_with_the_median_of_the_latest_items():
    items = [an_item(f"i{n}", price=float(p)) for n, p in enumerate([10, 20, 60, 1000])] + [an_item("i9")]
    features = (
        "  - {name: r, kind: relative, of: click, attribute: price, last: 4,"
        " measure: [ratio, difference, share_below]}\n"
    )
    clicks = ["i3", "i0", "i1", "i2", "i9"]
    rows = [an_event(item_id=i, event_time=NOW - 9) for i in clicks]
    found = read_last([*rows, a_decision(items=["i0", "i2", "i9", "i3"])], features, items)
    assert found["r_ratio"] == near(0.5, 3, math.nan, 50)  # of 10, 20, 60
    assert found["r_difference"] == near(-10, 40, math.nan, 980)
    assert found["r_share_below"] == near(0, 2 / 3, math.nan, 1)
    even = read_last([*rows[1:3], a_decision(items=["i2"])], features, items)
    assert even["r_ratio"] == near(4)
    assert read_last([a_decision(items=["i2"])], features, items)["r_ratio"] == near(math.nan)
