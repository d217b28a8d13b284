"""The stream as a whole: the same every time, in order, at its rate, as its contract says."""

from collections import Counter

import numpy as np
import pytest

from pipelines.contracts.records import RECORDS
from pipelines.domain import load_domain
from pipelines.errors import SettingsError
from pipelines.mapping import Router
from pipelines.settings import load
from pipelines.simulate.config import HOUR_MS, Drop, ShopConfig, Spike, TasteChange
from tests.simulate.played import CLEAN, play

EVERYDAY = ShopConfig(users=400, items=300, huge_bytes=5_000, malformed_share=0.01)
TYPES = {"text": str, "time": int, "integer": int, "texts": list, "flag": bool}


def test_the_same_configuration_gives_the_same_bytes():
    assert play(3_000, EVERYDAY) == play(3_000, EVERYDAY)


def test_another_seed_gives_other_bytes():
    assert play(100, seed=2).lines != play(100).lines


def test_how_many_are_taken_does_not_change_them():
    short, long = play(2_500, EVERYDAY, rate=50.0), play(9_000, EVERYDAY, rate=50.0)
    count = len(short.lines)
    assert long.lines[:count] == short.lines
    assert long.arrivals[:count] == short.arrivals
    assert [label for label in long.labels if label["line"] <= count] == short.labels


@pytest.mark.parametrize("count", [0, 1, 4_321])
def test_exactly_as_many_events_as_asked_for_come_after_the_opening_catalog(count):
    played = play(count)
    assert [r["item_id"] for r in played.parsed[:300]] == [f"i{n}" for n in range(300)]
    assert len(played.events) == count


def test_records_leave_in_the_order_of_arrival():
    played = play(5_000, EVERYDAY)
    assert played.arrivals == sorted(played.arrivals)


def test_on_time_records_arrive_when_they_happen():
    played = play(2_000)
    times = [record.get("event_time", record.get("valid_from")) for record in played.parsed]
    assert times == played.arrivals


def test_another_start_is_another_stretch_of_the_same_shop():
    first, later = play(2_000), play(2_000, start_ms=CLEAN.start_ms + 24 * HOUR_MS)
    described = [[item["attributes"] for item in played.items[:300]] for played in (first, later)]
    assert described[0] == described[1]
    walks = [[(e["event_type"], e["user_id"]) for e in played.events] for played in (first, later)]
    assert walks[0] != walks[1]


def test_ids_of_different_configurations_do_not_collide():
    ids = [{e["event_id"] for e in play(500, seed=s).events if "event_id" in e} for s in (1, 2)]
    assert not ids[0] & ids[1]


def test_every_record_is_as_the_shops_domain_file_says():
    domain = load_domain("shop", load(environ={}))
    router, seen = Router(domain), Counter()
    for record in play(8_000, item_turnover=5.0).parsed:
        route = router.route(record)
        for field, path in route.fields.items():
            declared, value = RECORDS[route.kind][field], record.get(path)
            assert value is not None or not declared.required, (field, record)
            assert value is None or type(value) is TYPES[declared.kind], (field, record)
        if route.kind == "interaction":
            missing = [f for f in domain.event_types[record["event_type"]].requires if record.get(f) is None]
            assert not missing, record
            seen[record["event_type"]] += 1
        seen[route.kind] += 1
        known = {*route.fields.values(), "record", "attributes", "event_type"}
        assert set(record) <= known, set(record) - known
    assert set(seen) == {"decision", "item", "interaction", *domain.event_types}


def test_items_have_the_attributes_that_the_domain_file_declares():
    declared = load_domain("shop", load(environ={})).attributes
    for item in play(10).items:
        given = item["attributes"]
        assert set(given) == set(declared)
        assert len(given["image"]) == declared["image"].length
        assert isinstance(given["price"], int)
        assert given["price"] > 0


def test_a_click_follows_a_decision_that_showed_the_item():
    shown = {}
    for event in play(5_000).events:
        if event["event_type"] == "decision":
            assert len(set(event["items"])) == len(event["items"]) <= CLEAN.list_length
            shown[event["decision_id"]] = (event["event_time"], set(event["items"]))
        elif event["event_type"] in ("click", "cart", "purchase"):
            when, items = shown[event["decision_id"]]
            assert event["item_id"] in items
            assert event["event_time"] > when


@pytest.mark.parametrize("rate", [0.2, 5.0, 400.0])
def test_the_rate_is_events_per_second(rate):
    played = play(30_000, rate=rate)
    # The first minutes only fill up: nobody is in the middle of a visit when the shop opens.
    settled = CLEAN.start_ms + 10 * 60_000
    inside = [a for a in played.arrivals if a >= settled]
    if len(inside) > 1_000:
        assert len(inside) / (inside[-1] - settled) * 1000 == pytest.approx(rate, rel=0.1)
    else:
        assert len(played.events) / (played.arrivals[-1] - CLEAN.start_ms) * 1000 < rate


def quarters_of_the_day(**knobs):
    """Records in each quarter of the day, over two whole days."""
    arrivals = np.array(play(40_000, rate=0.2, **knobs).arrivals[300:]) - CLEAN.start_ms
    return np.bincount(arrivals[arrivals < 48 * HOUR_MS] // (6 * HOUR_MS) % 4)


def test_evenings_are_busy_and_nights_are_quiet():
    night, morning, noon, evening = quarters_of_the_day(season_strength=1.0)
    assert evening > noon > morning > night
    assert evening > 5 * night


def test_without_seasons_every_hour_is_alike():
    quarters = quarters_of_the_day()
    assert quarters.min() > 0.8 * quarters.max()


def test_weekends_are_busier():
    days = np.array(play(60_000, rate=0.08, season_strength=1.0).arrivals[300:]) - CLEAN.start_ms
    per_day = np.bincount(days // (24 * HOUR_MS))[:7]
    assert per_day[6] > 1.1 * per_day[1:4].mean()


@pytest.mark.parametrize(
    ("knobs", "word"),
    [
        ({"users": 0}, "users"),
        ({"late_share": 1.5}, "late_share"),
        ({"rate": float("nan")}, "rate"),
        ({"season_strength": 2.0}, "season_strength"),
        ({"seed": -1}, "seed"),
        ({"position_bias": -1.0}, "position_bias"),
        ({"drops": (Drop(1, 1, "login"),)}, "drops"),
        ({"drops": (Drop(1, 1, "cart", 0.5, "moon"),)}, "drops"),
        ({"spikes": (Spike(1, 0, 3),)}, "spikes"),
        ({"taste_changes": (TasteChange(1, 2),)}, "taste_changes"),
    ],
)
def test_a_knob_out_of_range_is_refused_by_name(knobs, word):
    with pytest.raises(SettingsError, match=word):
        ShopConfig(**knobs)


@pytest.mark.parametrize(("users", "items"), [(1, 1), (3, 5), (2, 47)])
def test_very_small_shops_work(users, items):
    played = play(500, users=users, items=items)
    assert len(played.events) == 500
    for decision in played.of_type("decision"):
        assert 1 <= len(decision["items"]) <= min(items, CLEAN.list_length)
        assert len(set(decision["items"])) == len(decision["items"])
