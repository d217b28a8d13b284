"""What visitors do: they look at the top first, click what they like, change their mind, come and go."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from pipelines.simulate.config import DAY_MS, HOUR_MS, Drop, Spike, TasteChange
from pipelines.simulate.shop import Shop
from tests.simulate.played import CLEAN, play

STILL = {"taste_drift": 0.0, "new_user_share": 0.0, "item_turnover": 0.0, "price_changes": 0.0}


def clicked_lists(played):
    """(decision, flags of clicked items in shown order) of every list."""
    clicked = {(e["decision_id"], e["item_id"]) for e in played.of_type("click")}
    return [
        (d, np.array([(d["decision_id"], item) in clicked for item in d["items"]]))
        for d in played.of_type("decision")
    ]


def click_rates_of_random_lists(played):
    """Share clicked at each position, of the lists in random order."""
    flags = [f for d, f in clicked_lists(played) if d["explored"] and len(f) == CLEAN.list_length]
    return np.mean(flags, axis=0)


def test_the_top_of_a_random_list_is_clicked_more_as_the_position_bias_says():
    rates = click_rates_of_random_lists(play(30_000, explore_share=1.0, position_bias=0.5))
    slope = np.polyfit(np.log(np.arange(1, 13)), np.log(rates), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1)


def test_without_position_bias_all_positions_are_alike():
    rates = click_rates_of_random_lists(play(30_000, explore_share=1.0, position_bias=0.0))
    assert rates.min() > 0.75 * rates.max()


def test_only_the_given_share_of_lists_is_explored():
    explored = [d["explored"] for d in play(20_000, explore_share=0.3).of_type("decision")]
    assert np.mean(explored) == pytest.approx(0.3, abs=0.03)


def ndcg(score, gain):
    discount = 1 / np.log2(np.arange(2, len(gain) + 2))
    return (gain[np.argsort(-score, kind="stable")] @ discount) / (np.sort(gain)[::-1] @ discount)


def ranked_by(played, shop):
    """Mean nDCG of orders of the last third of the lists, by what was seen before, and by true taste."""
    taste = dict(zip(shop.people.number.tolist(), shop.people.taste, strict=True))
    quality = {f"i{n}": k for k, n in enumerate(shop.catalog.number.tolist())}
    lists = clicked_lists(played)
    shown, clicks, found = Counter(), Counter(), defaultdict(list)
    rng = np.random.default_rng(0)
    for index, (decision, flags) in enumerate(lists):
        items = decision["items"]
        if index > len(lists) * 2 // 3 and flags.any():
            places = [quality[i] for i in items]
            liked = shop.catalog.taste[places] @ taste[int(decision["user_id"][1:])]
            orders = {
                "random": rng.random(len(items)),
                "popularity": np.array([clicks[i] for i in items]),
                "click rate": np.array([(clicks[i] + 1) / (shown[i] + 10) for i in items]),
                "taste": shop.config.taste_strength * liked + shop.catalog.quality[places],
            }
            for name, score in orders.items():
                found[name].append(ndcg(score, flags))
        shown.update(items)
        clicks.update(item for item, flag in zip(items, flags, strict=True) if flag)
    return {name: np.mean(values) for name, values in found.items()}


def test_popularity_click_rate_and_taste_are_different_things():
    config = replace(CLEAN, items=600, **STILL)
    by = ranked_by(play(50_000, config), Shop(config))
    assert by["popularity"] > by["random"] + 0.05
    assert by["click rate"] > by["popularity"] + 0.01
    assert by["taste"] > by["click rate"] + 0.05


def test_without_taste_strength_taste_does_not_help():
    config = replace(CLEAN, taste_strength=0.0, **STILL)
    by = ranked_by(play(30_000, config), Shop(config))
    assert by["taste"] < by["click rate"] + 0.02


def tastes_after(days, **knobs):
    """Tastes at the beginning and after some days, of the customers who are still the same."""
    shop = Shop(replace(CLEAN, rate=0.05, **(STILL | knobs)))
    before = shop.people.taste.copy()
    for chunk in shop.chunks():
        if chunk.arrivals and chunk.arrivals[-1] > CLEAN.start_ms + days * DAY_MS:
            break
    return before, shop.people.taste


def test_tastes_drift_by_the_rate():
    before, after = tastes_after(10, taste_drift=0.05)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] == pytest.approx(np.exp(-0.5), abs=0.08)
    before, after = tastes_after(3)
    assert np.array_equal(before, after)


def test_a_change_of_taste_hits_its_share_of_the_customers_at_its_hour():
    change = {"taste_changes": (TasteChange(30, 0.4),)}
    before, after = tastes_after(1, **change)
    assert np.array_equal(before, after)
    before, after = tastes_after(2, **change)
    assert (before != after).any(axis=1).mean() == pytest.approx(0.4, abs=0.08)
    told = play(30_000, rate=0.2, **change).labelled("taste_change")
    assert told == [{"label": "taste_change", "from": CLEAN.start_ms + 30 * HOUR_MS, "share": 0.4}]


def test_new_customers_appear_at_their_share_of_visits():
    played = play(20_000, new_user_share=0.1)
    logins = {e["session_id"]: e["user_id"] for e in played.events}
    new = {user for user in logins.values() if int(user[1:]) >= CLEAN.users}
    assert len(new) / len(logins) == pytest.approx(0.1, abs=0.02)
    assert not {u for u in play(5_000, new_user_share=0.0).events if int(u["user_id"][1:]) >= CLEAN.users}


def test_items_are_replaced_and_repriced_at_their_shares_a_day():
    played = play(15_000, rate=0.2, item_turnover=0.2, price_changes=0.3)
    days = (played.arrivals[-1] - CLEAN.start_ms) / DAY_MS
    later = played.items[CLEAN.items :]
    new = [item for item in later if int(item["item_id"][1:]) >= CLEAN.items]
    launched = {item["item_id"] for item in new}
    assert len(launched) / days / CLEAN.items == pytest.approx(0.2, rel=0.25)
    changed = len(later) - len(launched)
    assert changed / days / CLEAN.items == pytest.approx(0.3, rel=0.25)
    shown = {i for d in played.of_type("decision") for i in d["items"]}
    assert launched & shown


def test_words_and_images_tell_what_an_item_is():
    items = [item["attributes"] for item in play(1).items]
    images = np.array([item["image"] for item in items])
    images = (images - images.mean(axis=0)) / np.linalg.norm(images - images.mean(axis=0), axis=1)[:, None]
    alike = images @ images.T
    same = np.array([[a["category"] == b["category"] for b in items] for a in items])
    assert alike[same].mean() > alike[~same].mean() + 0.2
    assert all(item["brand"] in item["title"] for item in items)
    assert all(item["category"] in item["description"] for item in items)
    assert all(item["tags"][-1] in item["title"] for item in items)


def test_searches_find_what_they_name():
    catalog = {i["item_id"]: i["attributes"] for i in play(1).items}
    found = [d for d in play(20_000, **STILL).of_type("decision") if "query" in d and not d["explored"]]
    named = [d["query"].split()[-1] in catalog[i]["title"] for d in found for i in d["items"][:4]]
    assert np.mean(named) > 0.5


def test_a_spike_brings_its_factor_of_events():
    told = play(40_000, rate=0.8, spikes=(Spike(6, 2, 4.0),))
    hours = np.bincount((np.array(told.arrivals[CLEAN.items :]) - CLEAN.start_ms) // HOUR_MS)
    assert hours[6:8].mean() == pytest.approx(4 * hours[2:6].mean(), rel=0.15)
    begin = CLEAN.start_ms + 6 * HOUR_MS
    spike = {"label": "spike", "from": begin, "to": begin + 2 * HOUR_MS, "factor": 4.0}
    assert told.labelled("spike") == [spike]


def test_a_checkout_outage_stops_purchases_of_one_source_and_nothing_else():
    drop = Drop(2, 6, "purchase", 0.1, "mobile")
    broken, usual = play(20_000, rate=0.6, drops=(drop,)), play(20_000, rate=0.6)

    def made(played, event_type, source):
        begin = CLEAN.start_ms + 2 * HOUR_MS
        inside = [e for e in played.of_type(event_type) if begin <= e["event_time"] < begin + 6 * HOUR_MS]
        return sum(e["source"] == source for e in inside)

    assert made(broken, "purchase", "mobile") < 0.25 * made(usual, "purchase", "mobile")
    assert made(broken, "purchase", "web") > 0.8 * made(usual, "purchase", "web")
    assert made(broken, "cart", "mobile") == made(usual, "cart", "mobile") > 100
    [label] = broken.labelled("drop")
    assert (label["event_type"], label["keep"], label["source"]) == ("purchase", 0.1, "mobile")


def test_fewer_clicks_bring_fewer_carts():
    usual, broken = play(10_000), play(10_000, drops=(Drop(0, 1e6, "click", 0.3),))
    for event_type in ("click", "cart"):
        per_list = [len(p.of_type(event_type)) / len(p.of_type("decision")) for p in (broken, usual)]
        assert per_list[0] == pytest.approx(0.3 * per_list[1], rel=0.25)
