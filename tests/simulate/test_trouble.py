"""Late, doubled and broken records, bots and thieves: as many as the knobs say, each told in the labels."""

import json
import math
from collections import Counter, defaultdict
from dataclasses import replace

import msgspec
import pytest

from pipelines.contracts.records import INTERACTION
from pipelines.errors import SettingsError
from pipelines.simulate.config import DAY_MS, Attack
from pipelines.simulate.noise import breakages
from tests.simulate.played import CLEAN, play

HUGE = 5_000
NOISY = {"late_share": 0.05, "late_minutes": 1.0, "duplicate_share": 0.03, "malformed_share": 0.02}


def id_of(event):
    """An event's id without the namespace of its configuration."""
    return (event.get("event_id") or event["decision_id"])[9:], event["event_type"] == "decision"


def test_noise_moves_and_adds_records_but_changes_none():
    clean, noisy = play(20_000), play(20_000, huge_bytes=HUGE, **NOISY)
    broken = {label["line"] for label in noisy.labelled("malformed")}
    good = [json.loads(line) for n, line in enumerate(noisy.lines, 1) if n not in broken]
    until = CLEAN.start_ms + (noisy.arrivals[-1] - CLEAN.start_ms) // 2
    kept = [
        {id_of(e): e["event_time"] for e in found if e["event_time"] < until}
        for found in ([e for e in good if "record" not in e], clean.events)
    ]
    assert kept[0] == kept[1]
    assert len(kept[0]) > 5_000


def test_late_events_are_as_many_and_as_late_as_asked_for():
    played = play(40_000, late_share=0.05, late_minutes=10.0)
    late = played.labelled("late")
    assert len(late) / len(played.events) == pytest.approx(0.05, rel=0.1)
    parsed = played.parsed
    for label in late:
        event = parsed[label["line"] - 1]
        assert played.arrivals[label["line"] - 1] - event["event_time"] == label["late_ms"]
        assert id_of(event) == id_of(label | {"event_type": event["event_type"]})
    minutes = [label["late_ms"] / 60_000 for label in late]
    assert sum(minutes) / len(minutes) == pytest.approx(10, rel=0.15)
    assert (
        max(
            label["late_ms"]
            for label in play(20_000, late_share=1.0, late_minutes=1e5, rate=0.1).labelled("late")
        )
        <= DAY_MS + 1
    )


def test_a_duplicate_is_the_same_line_a_second_time():
    played = play(20_000, duplicate_share=0.03)
    seen = Counter(played.lines)
    doubled = [line for line, times in seen.items() if times > 1]
    assert len(doubled) == len(played.labelled("duplicate"))
    assert len(doubled) / len(played.events) == pytest.approx(0.03, rel=0.15)
    first = {}
    for line, text in enumerate(played.lines, 1):
        first.setdefault(text, line)
    for label in played.labelled("duplicate"):
        assert first[played.lines[label["line"] - 1]] < label["line"]


def is_good(line):
    """Whether a line is a record as its contract says, judged on its own."""
    if len(line) > HUGE:
        return False
    try:
        event = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    identity = (
        "decision_id" if isinstance(event, dict) and event.get("event_type") == "decision" else "event_id"
    )
    if not isinstance(event, dict) or not all(isinstance(event.get(f), str) for f in (identity, "user_id")):
        return False
    is_known = event.get("event_type") in (
        "decision",
        "search",
        "view",
        "click",
        "cart",
        "purchase",
        "login",
        "login_failed",
    )
    time = event.get("event_time")
    is_now = isinstance(time, int) and abs(time - CLEAN.start_ms) < 30 * DAY_MS
    price = event.get("price_minor", 0)
    return is_known and is_now and isinstance(price, int) and abs(price) < 2**63


def test_exactly_the_lines_labelled_malformed_are_malformed():
    played = play(40_000, malformed_share=0.05, huge_bytes=HUGE)
    broken = {label["line"]: label["kind"] for label in played.labelled("malformed")}
    assert len(broken) / len(played.lines) == pytest.approx(0.05, rel=0.1)
    assert set(broken.values()) == set(breakages(HUGE))
    for number, line in enumerate(played.lines[CLEAN.items :], CLEAN.items + 1):
        if b'"record":"item"' not in line:
            assert is_good(line) is (number not in broken), (broken.get(number), line[:300])
        assert b"\n" not in line


def test_the_huge_record_is_as_big_as_asked_for():
    played = play(10_000, malformed_share=0.05, huge_bytes=2_000_000 // 10)
    huge = [
        played.lines[label["line"] - 1] for label in played.labelled("malformed") if label["kind"] == "huge"
    ]
    assert huge
    assert all(200_000 < len(line) < 201_000 for line in huge)


def entropy(counts):
    total = sum(counts.values())
    return -sum(n / total * math.log2(n / total) for n in counts.values())


def test_bots_make_their_share_of_events_from_few_devices():
    played = play(40_000, bot_share=0.1)
    parsed, campaigns = played.parsed, defaultdict(list)
    for label in played.labelled("bot"):
        campaigns[label["campaign"]].append(parsed[label["line"] - 1])
    made = sum(len(events) for events in campaigns.values())
    assert made / len(played.events) == pytest.approx(0.1 / 1.1, rel=0.25)
    for events in campaigns.values():
        assert len({e["ip_hash"] for e in events}) == 1
        assert len({e["device_id"] for e in events}) <= 2
    bots = {label["line"] for label in played.labelled("bot")}
    of_people = {e["device_id"] for n, e in enumerate(parsed, 1) if "record" not in e and n not in bots}
    assert not of_people & {e["device_id"] for events in campaigns.values() for e in events}
    boosts = [e for e in campaigns.values() if any(x["event_type"] == "click" for x in e)]
    for events in boosts:
        clicks = Counter(e["item_id"] for e in events if e["event_type"] == "click")
        assert entropy(clicks) == 0


def test_a_thief_comes_from_a_new_device_and_buys_dear_things():
    played = play(40_000, stolen_share=0.01)
    parsed, thefts = played.parsed, defaultdict(list)
    for label in played.labelled("stolen_account"):
        thefts[label["theft"]].append((label["line"], parsed[label["line"] - 1]))
    sessions = {e["session_id"] for e in played.events}
    assert len(thefts) / len(sessions) == pytest.approx(0.01, rel=0.4)
    prices = sorted(item["attributes"]["price"] for item in played.items)
    dear = prices[int(len(prices) * 0.8)]
    devices = defaultdict(set)
    stolen_lines = {line for events in thefts.values() for line, _ in events}
    for line, event in enumerate(parsed, 1):
        if "record" not in event and line not in stolen_lines:
            devices[event["user_id"]].add(event["device_id"])
    known = 0
    for events in thefts.values():
        kinds = [e["event_type"] for _, e in events]
        assert kinds[0] == "login_failed"
        assert {e["device_id"] for _, e in events}.isdisjoint(devices[events[0][1]["user_id"]])
        known += bool(devices[events[0][1]["user_id"]])
        assert all(e["price_minor"] >= dear for _, e in events if e["event_type"] == "purchase")
    assert known > len(thefts) / 2


def test_without_their_knobs_there_is_no_trouble():
    assert play(5_000).labels == []


@pytest.mark.parametrize("field", ["label", "campaign", "theft", "taste", "quality", "arrival"])
def test_no_record_says_what_only_the_simulation_knows(field):
    played = play(3_000, replace(CLEAN, bot_share=0.2, stolen_share=0.05))
    assert field not in INTERACTION
    assert not any(field in event for event in played.events)
    assert not any(field in item["attributes"] for item in played.items)


def test_intruders_come_when_they_are_planned_and_nobody_else_is_moved():
    attacks = (Attack(0.2, "stuffing"), Attack(0.3, "boost"), Attack(0.4, "theft"))
    played, quiet = play(20_000, rate=5.0, attacks=attacks), play(20_000, rate=5.0)
    planned = {label["kind"]: label["from"] - CLEAN.start_ms for label in played.labelled("attack")}
    assert planned == {"stuffing": 720_000, "boost": 1_080_000, "theft": 1_440_000}
    parsed = played.parsed
    marked = [label for name in ("bot", "stolen_account") for label in played.labelled(name)]
    assert {label.get("campaign") for label in played.labelled("bot")} == {1, 2}
    assert len(played.labelled("stolen_account")) >= 7
    began = min(parsed[label["line"] - 1]["event_time"] for label in marked)
    assert 720_000 <= began - CLEAN.start_ms < 800_000
    strange = {label["line"] for label in marked}
    left = [json.loads(line) for n, line in enumerate(played.lines, 1) if n not in strange]
    until = CLEAN.start_ms + 1_700_000
    known = [
        Counter(
            (e["event_time"], e["event_type"], e.get("item_id"))  # later newcomers have other numbers
            for e in found
            if "record" not in e and e["event_time"] < until
        )
        for found in (left, quiet.parsed)
    ]
    assert known[0] == known[1]


def test_an_unknown_attack_is_refused():
    with pytest.raises(SettingsError, match="attacks must be of one of boost, scrape, stuffing, theft"):
        replace(CLEAN, attacks=(Attack(1.0, "flood"),))
