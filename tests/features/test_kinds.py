"""Every kind of feature, worked out by hand."""

import math
from collections import Counter

import numpy as np
import pytest

from tests.builders_features import DAY, HOUR, MINUTE, NOW, a_decision, an_event, an_item, read_last

nan = pytest.approx(math.nan, nan_ok=True)


def near(*numbers):
    return pytest.approx(list(numbers), rel=1e-6, nan_ok=True)


def declared(*features: str) -> str:
    return "".join(f"  - {feature}\n" for feature in features)


def test_an_attribute_is_the_candidates_number_or_missing():
    items = [an_item("i1", price=9.0), an_item("i2", brand="x"), an_item("i3", price=-3.0)]
    features = declared(
        "{name: plain, kind: attribute, of: price}", "{name: size, kind: attribute, of: price, log: true}"
    )
    found = read_last([a_decision(items=["i1", "i2", "i3", "unheard of"])], features, items)
    assert found["plain"] == near(9.0, math.nan, -3.0, math.nan)
    assert found["size"] == near(math.log(10.0), math.nan, math.nan, math.nan)


def test_a_text_is_as_many_as_its_words_in_any_script():
    titles = {"i1": "Grumpy old-fashioned  hat\n", "i2": "Οδυσσέας\u3000旅", "i3": "", "i4": "🎩"}
    items = [*(an_item(name, title=title) for name, title in titles.items()), an_item("i5", brand="a b c")]
    features = declared(
        "{name: n, kind: attribute, of: title, measure: words}",
        "{name: size, kind: attribute, of: title, measure: words, log: true}",
    )
    found = read_last([a_decision(items=[*titles, "i5", "unheard of"])], features, items)
    assert found["n"] == near(3, 2, 0, 1, math.nan, math.nan)
    assert found["size"] == near(math.log(4), math.log(3), 0, math.log(2), math.nan, math.nan)


def test_a_value_is_its_place_in_a_list_and_of_tags_the_first_counts():
    tags = {"i1": ["red", "ähre"], "i2": ["ähre", "red"], "i3": ["grün", "red"], "i4": ["Red"], "i5": []}
    items = [
        *(an_item(name, tags=of, brand="bolt") for name, of in tags.items()),
        an_item("i6", brand="acme"),
    ]
    features = declared(
        "{name: tag, kind: attribute, of: tags, measure: index, values: [red, ähre]}",
        "{name: brand, kind: attribute, of: brand, measure: index, values: [acme, red]}",
    )
    found = read_last([a_decision(items=[*tags, "i6", "unheard of"])], features, items)
    assert found["tag"] == near(1, 2, 0, 0, *[math.nan] * 3)
    assert found["brand"] == near(0, 0, 0, 0, 0, 1, math.nan)


def test_an_item_has_the_attributes_of_the_moment():
    items = [an_item("i1", NOW - HOUR, price=5.0), an_item("i1", NOW + 1, price=7.0)]
    features = declared("{name: price, kind: attribute, of: price}")
    made = [NOW - DAY, NOW, NOW + HOUR]
    prices = [read_last([a_decision(items=["i1"], event_time=t)], features, items)["price"] for t in made]
    assert prices == [near(math.nan), near(5.0), near(7.0)]


def test_counts_are_by_item_in_windows_that_end_at_the_decision():
    ago = (MINUTE, 4 * MINUTE, 50 * MINUTE, 30 * HOUR, 20 * DAY, 80 * DAY)
    events = [an_event(event_time=NOW - t) for t in ago] + [an_event(item_id="i2", event_time=NOW - MINUTE)]
    features = declared("{name: n, kind: count, of: click, by: item, window: [5min, 1h, 2d, 30d, all]}")
    found = read_last([*events, a_decision()], features)
    assert {name: values[0] for name, values in found.items()} == {
        "n_5min": 2,
        "n_1h": 3,
        "n_2d": 4,
        "n_30d": 5,
        "n_all": 6,
    }
    assert found["n_all"] == near(6, 1, 0)


def test_a_window_covers_its_length_and_at_most_one_bucket_more():
    features = declared("{name: n, kind: count, of: click, by: item, window: 1h}")
    for minutes, counted in ((59, 1), (60, 1), (64, 1), (65, 0), (70, 0)):
        rows = [
            an_event(event_time=NOW + 4 * MINUTE - minutes * MINUTE),
            a_decision(event_time=NOW + 4 * MINUTE),
        ]
        assert read_last(rows, features)["n"][0] == counted, f"{minutes} minutes ago"


def test_counts_are_by_all_user_value_and_pairs():
    items = [
        an_item("i1", tags=["red", "new"], brand="acme"),
        an_item("i2", tags=["red"], brand="acme"),
        an_item("i3"),
    ]
    features = declared(
        "{name: all, kind: count, of: click, by: all}",
        "{name: mine, kind: count, of: [click, view], by: user}",
        "{name: tag, kind: count, of: click, by: tags, aggregate: [mean, max, min, sum]}",
        "{name: my_item, kind: count, of: click, by: [user, item]}",
        "{name: my_brand, kind: count, of: click, by: [user, brand], log: true}",
        "{name: lists, kind: count, of: decision, by: user}",
    )
    events = [
        an_event(item_id="i1", event_time=NOW - 5),
        an_event(item_id="i2", event_time=NOW - 4),
        an_event(item_id="i2", user_id="bob", event_time=NOW - 3),
        an_event(item_id="i3", event_type="view", event_time=NOW - 2),
        an_event(item_id=None, event_type="search", event_time=NOW - 1),
    ]
    found = read_last([a_decision(event_time=NOW - 9), *events, a_decision()], features, items)
    assert found["all"] == near(3, 3, 3)
    assert found["mine"] == near(3, 3, 3)
    assert found["tag_mean"] == near(2, 3, math.nan)  # i1: red 3, new 1
    assert found["tag_max"] == near(3, 3, math.nan)
    assert found["tag_min"] == near(1, 3, math.nan)
    assert found["tag_sum"] == near(4, 3, math.nan)
    assert found["my_item"] == near(1, 1, 0)
    assert found["my_brand"] == near(math.log(3), math.log(3), math.nan)
    assert found["lists"] == near(1, 1, 1)


def test_a_rate_is_smoothed_towards_the_rate_of_everything():
    rows = [a_decision(event_time=NOW - 9), an_event(event_time=NOW - 8), a_decision()]
    features = declared(
        "{name: r, kind: rate, of: click, by: item, smooth: 2}",
        "{name: raw, kind: rate, of: click, by: item, smooth: 0}",
    )
    found = read_last(rows, features)
    assert found["r"] == near((1 + 2 / 3) / 3, (0 + 2 / 3) / 3, (0 + 2 / 3) / 3)
    assert found["raw"] == near(1, 0, 0)


def test_a_rate_of_nothing_is_missing():
    found = read_last([a_decision()], declared("{name: r, kind: rate, of: click, by: item}"))
    assert found["r"] == near(math.nan, math.nan, math.nan)


def test_recency_is_the_log_of_seconds_since():
    rows = [
        an_event(event_time=NOW - 90_000),
        an_event(event_time=NOW - 30_000),
        an_event(event_time=NOW - 60_000),
        a_decision(),
    ]
    features = declared(
        "{name: item, kind: recency, of: click, by: item}", "{name: me, kind: recency, of: click, by: user}"
    )
    found = read_last(rows, features)
    assert found["item"] == near(math.log(31), math.nan, math.nan)
    assert found["me"] == near(*[math.log(31)] * 3)


def test_a_preference_is_the_rate_of_user_and_value_minus_what_was_expected():
    items = [an_item("i1", tags=["red"]), an_item("i2", tags=["red", "blue"]), an_item("i3", tags=["blue"])]
    features = declared(
        "{name: p, kind: preference, of: click, by: tags, smooth: 1, aggregate: [mean, max, min]}"
    )
    rows = [
        a_decision(event_time=NOW - 9),
        an_event(item_id="i1", event_time=NOW - 8),
        a_decision(user_id="bob", event_time=NOW - 7),
        a_decision(),
    ]
    overall, user = 1 / 6, (1 + 1 / 6) / 4
    base = {"red": (1 + overall) / 5 * user / overall, "blue": (0 + overall) / 5 * user / overall}
    red = (1 + base["red"]) / 3 - base["red"]
    blue = (0 + base["blue"]) / 3 - base["blue"]
    found = read_last(rows, features, items)
    assert found["p_mean"] == near(red, (red + blue) / 2, blue)
    assert found["p_max"] == near(red, red, blue)
    assert found["p_min"] == near(red, blue, blue)


def test_a_learned_value_follows_the_rewards():
    items = [an_item("i1", brand="acme"), an_item("i2", brand="bolt")]
    features = declared("{name: q, kind: learned, of: [shown, click, purchase], by: brand, rate: 0.4}")
    rows = [
        a_decision(items=["i1"], event_time=NOW - 9),  # n = 1: q = 0
        an_event(event_time=NOW - 8),  # n = 2: q = 0 + 1/2 (0.5 - 0)
        an_event(event_type="purchase", event_time=NOW - 7),  # n = 3: 1/3 < 0.4: q = 0.25 + 0.4 (1 - 0.25)
        a_decision(items=["i1", "i2"]),
    ]
    assert read_last(rows, features, items)["q"] == near(0.55, math.nan)


def test_taste_compares_the_candidate_with_what_the_user_liked():
    items = [an_item("i1", price=10.0), an_item("i2", price=20.0), an_item("i3", price=60.0), an_item("i4")]
    features = declared(
        "{name: t, kind: taste, of: click, attribute: price, smooth: 1,"
        " measure: [distance, difference, lean]}",
    )
    rows = [
        a_decision(event_time=NOW - 9),
        an_event(item_id="i1", event_time=NOW - 8),
        a_decision(items=["i1", "i3", "i4"]),
    ]
    wanted = (10 + 30) / 2
    found = read_last(rows, features, items)
    assert found["t_distance"] == near(10, 40, math.nan)
    assert found["t_difference"] == near(-10, 40, math.nan)
    assert found["t_lean"] == near(*[wanted - 30] * 3)


def test_similarity_is_the_overlap_with_the_latest_items():
    items = [
        an_item("i1", tags=["a", "b"]),
        an_item("i2", tags=["b", "c"]),
        an_item("i3", tags=["c", "d"]),
        an_item("i4", tags=["b", "c", "d", "d"]),
        an_item("i5"),
    ]
    features = declared(
        "{name: s, kind: similarity, of: click, attribute: tags, last: 2, aggregate: [mean, max, sum]}"
    )
    clicks = [an_event(item_id=i, event_time=NOW - 9) for i in ("i1", "i2", "i3")]
    found = read_last([*clicks, a_decision(items=["i1", "i4", "i5"])], features, items)
    assert found["s_mean"] == near((1 / 3 + 0) / 2, (2 / 3 + 2 / 3) / 2, 0)
    assert found["s_max"] == near(1 / 3, 2 / 3, 0)
    assert found["s_sum"] == near(1 / 3, 4 / 3, 0)


def test_similarity_with_many_items_is_that_of_sets():
    chosen = [{t for t in range(12) if (n * 7 + t * t) % 5 == 0 or n % (t + 2) == 0} for n in range(120)]
    tags = {f"i{n}": kept for n, kept in enumerate(chosen)}
    items = [an_item(item, tags=[f"t{t}" for t in kept]) for item, kept in tags.items()]
    features = declared(
        "{name: s, kind: similarity, of: click, attribute: tags, last: 100, aggregate: [mean, min, max]}"
    )
    clicks = [an_event(item_id=item, event_time=NOW - 999 + n) for n, item in enumerate(tags)]
    asked = ["i3", "i60", "i119", "nobody's"]
    found = read_last([*clicks, a_decision(items=asked)], features, items)
    latest = list(tags.values())[-100:]
    expected = [[len(tags[i] & other) / len(tags[i] | other) for other in latest] for i in asked[:3]]
    assert found["s_mean"] == near(*(sum(one) / 100 for one in expected), math.nan)
    assert found["s_min"] == near(*map(min, expected), math.nan)
    assert found["s_max"] == near(*map(max, expected), math.nan)


def test_similarity_to_nothing_is_missing():
    features = declared("{name: s, kind: similarity, of: click, attribute: tags}")
    assert read_last([a_decision(items=["i1"])], features, [an_item("i1", tags=["a"])])["s"] == near(math.nan)


def test_position_counts_from_one():
    assert read_last([a_decision()], declared("{name: p, kind: position, fixed: 2}"))["p"] == [1, 2, 3]


def test_time_is_a_point_of_a_circle():
    features = declared(
        "{name: day, kind: time, cycle: day, wave: [sin, cos]}",
        "{name: week, kind: time, cycle: week, wave: cos}",
    )
    found = read_last([a_decision(items=["i1"], event_time=NOW + 6 * HOUR)], features)
    assert np.allclose([found["day_sin"][0], found["day_cos"][0]], [1, 0], atol=1e-6)
    days = NOW // DAY % 7 + 0.25
    assert found["week"] == near(math.cos(2 * math.pi * days / 7))


def test_context_compares_a_feature_within_the_list():
    items = [an_item("i1", price=1.0), an_item("i2", price=3.0), an_item("i3", price=3.0), an_item("i4")]
    features = declared(
        "{name: price, kind: attribute, of: price}",
        "{name: c, kind: context, of: price, measure: [mean, std, zscore, rank, difference]}",
    )
    found = read_last([a_decision(items=["i1", "i2", "i3", "i4"])], features, items)
    mean, std = 7 / 3, math.sqrt(8 / 9)
    assert found["c_mean"] == near(*[mean] * 4)
    assert found["c_std"] == near(*[std] * 4)
    assert found["c_zscore"] == near((1 - mean) / std, (3 - mean) / std, (3 - mean) / std, math.nan)
    assert found["c_rank"] == near(3, 1, 1, math.nan)
    assert found["c_difference"] == near(1 - mean, 3 - mean, 3 - mean, math.nan)


def test_a_list_has_a_median_and_candidates_lie_beside_it():
    prices = {"i1": 9.0, "i2": 1.0, "i3": 2.0, "i4": 4.0}
    items = [*(an_item(name, price=price) for name, price in prices.items()), an_item("i5")]
    features = declared(
        "{name: price, kind: attribute, of: price}",
        "{name: c, kind: context, of: price, measure: [median, median_difference]}",
    )

    def shown(*names):
        found = read_last([a_decision(items=list(names))], features, items)
        return found["c_median"], found["c_median_difference"]

    assert shown("i1", "i2", "i5", "i3", "i4") == (near(*[3] * 5), near(6, -2, math.nan, -1, 1))
    assert shown("i3", "i2", "i1") == (near(2, 2, 2), near(0, -1, 7))
    assert shown("i1") == (near(9), near(0))
    assert shown("i5") == (near(math.nan), near(math.nan))


def test_values_are_as_common_as_their_share_of_all_values_in_the_list():
    items = [
        an_item("i1", tags=["red", "ζώνη"], brand="acme"),
        an_item("i2", tags=["red"], brand="acme"),
        an_item("i3", tags=["blue", "red", "old"], brand="bolt"),
        an_item("i4", tags=[]),
    ]
    features = declared(
        "{name: tags, kind: context, of: tags, measure: share}",
        "{name: brand, kind: context, of: brand, measure: share}",
    )
    found = read_last([a_decision(items=["i1", "i2", "i3", "i4", "unheard of"])], features, items)
    assert found["tags"] == near(4 / 6, 3 / 6, 5 / 6, math.nan, math.nan)  # red 3, ζώνη, blue and old 1
    assert found["brand"] == near(2 / 3, 2 / 3, 1 / 3, math.nan, math.nan)
    alone = read_last([a_decision(items=["i2"])], features, items)
    assert alone == {"tags": near(1), "brand": near(1)}
    nothing = read_last([a_decision(items=["i4"])], features, items)
    assert nothing == {"tags": near(math.nan), "brand": near(math.nan)}


def test_a_thousand_candidates_have_the_shares_and_the_median_that_counting_gives():
    chance = np.random.default_rng(5)
    tags = {f"i{n}": [f"t{t}" for t in set(chance.integers(0, 400, 30).tolist())] for n in range(1000)}
    items = [an_item(name, tags=of, price=float(n**2 % 977)) for n, (name, of) in enumerate(tags.items())]
    features = declared(
        "{name: tags, kind: context, of: tags, measure: share}",
        "{name: price, kind: attribute, of: price}",
        "{name: median, kind: context, of: price, measure: median}",
    )
    found = read_last([a_decision(items=list(tags))], features, items)
    counts = Counter(tag for of in tags.values() for tag in of)
    shares = [sum(counts[tag] for tag in of) / counts.total() for of in tags.values()]
    assert found["tags"] == near(*shares)
    assert set(found["median"]) == {np.median(found["price"])}


def test_an_item_that_was_never_seen_has_counts_of_zero_and_nothing_else():
    rows = [an_event(event_time=NOW - 9), a_decision(items=["new"])]
    features = declared(
        "{name: n, kind: count, of: click, by: item, window: [1h, all]}",
        "{name: since, kind: recency, of: click, by: item}",
        "{name: tags, kind: count, of: click, by: tags}",
    )
    found = read_last(rows, features)
    assert [found["n_1h"], found["n_all"]] == [[0.0], [0.0]]
    assert found["since"] == near(math.nan)
    assert found["tags"] == near(math.nan)
