"""What follows from what reviewers have said."""

import datetime

import pytest

from pipelines.anomalies import reviews
from pipelines.anomalies.selection import asks_twice, sample
from tests.builders_watch import CONFIG, NOON_MS, a_review, an_outlier, config

DAY_MS = 86_400_000


def test_a_reviewers_last_verdict_counts_and_the_first_reviewers_is_the_incidents():
    rows = [
        a_review("i1", "false_alarm", "ann", hour=0),
        a_review("i1", "confirmed", "bob", hour=1),
        a_review("i1", "confirmed", "ann", hour=2),
        a_review("i2", "expected", "bob", hour=0),
    ]
    assert {i: r["verdict"] for i, r in reviews.settled(rows).items()} == {
        "i1": "confirmed",
        "i2": "expected",
    }
    assert reviews.settled(rows[::-1]) == reviews.settled(rows)


def test_entities_of_confirmed_incidents_are_named_with_their_time():
    rows = [
        a_review("i1", "confirmed"),
        a_review("i2", "false_alarm"),
        a_review("i3", "confirmed", entities=[]),
    ]
    [found] = reviews.confirmed_entities(rows)
    assert (found.entity, found.entity_id, found.incident_id) == ("user", "ann", "i1")
    assert (found.from_ms, found.until_ms) == (NOON_MS, NOON_MS + 300_000)


def an_alert(incident_id, level="high", state="open"):
    when = {
        name: datetime.datetime.fromtimestamp(NOON_MS / 1000, datetime.UTC)
        for name in ("window_start", "window_end")
    }
    member = {"entity": "user", "entity_id": f"of-{incident_id}", **when}
    return {"incident_id": incident_id, "level": level, "state": state, "members": [member]}


def test_severe_incidents_are_held_out_until_reviewed_and_confirmed_ones_for_good():
    alerts = [
        an_alert("a"),
        an_alert("b", "medium"),
        an_alert("c"),
        an_alert("d"),
        an_alert("e", state="capped"),
    ]
    said = [a_review("c", "false_alarm"), a_review("d", "confirmed")]
    found = {c.entity_id for c in reviews.held_out(alerts, said, config(hold_level="high"))}
    assert found == {"of-a", "ann"}


def test_evidence_is_of_a_pattern_and_grows_old():
    rows = [a_review(f"i{n}", "false_alarm", p=10.0**-n) for n in range(2, 5)]
    rows += [
        a_review("j", "confirmed", pattern="other"),
        a_review("k", "expected"),
        a_review("s", kind="sample"),
    ]
    now = NOON_MS + round(CONFIG.evidence_days * DAY_MS)
    found = reviews.evidence(rows, now, CONFIG)
    assert set(found) == {"outlier user: clicks high", "other"}
    ours = found["outlier user: clicks high"]
    assert (round(ours.false, 3), ours.confirmed, ours.least_p) == (1.5, 0, 1e-4)
    assert ours.trust == pytest.approx(2 / 3.5)
    assert found["other"].trust == 1


def test_precision_and_what_was_missed_are_told_apart():
    rows = [a_review(f"i{n}", "confirmed") for n in range(3)] + [a_review("f", "false_alarm")]
    rows += [a_review("x", "expected"), a_review("s1", "confirmed", kind="sample", chance=0.01)]
    rows += [a_review("s2", "false_alarm", kind="sample", chance=0.01)]
    assert reviews.precision(rows)["precision"] == 0.75
    assert reviews.precision(rows)["reviewed"] == 5
    assert reviews.missed(rows) == {"reviewed": 2, "confirmed": 1, "estimated": 100.0}
    assert reviews.missed([]) == {"reviewed": 0, "confirmed": 0, "estimated": None}


def test_agreement_of_two_reviewers():
    pairs = [("confirmed", "confirmed"), ("confirmed", "false_alarm"), ("false_alarm", "false_alarm")]
    rows = []
    for n, (one, other) in enumerate([*pairs, ("expected", "expected")]):
        rows += [a_review(f"i{n}", one, "ann", 0), a_review(f"i{n}", other, "bob", 1)]
    found = reviews.agreement(rows)
    assert (found.incidents, found.share) == (4, 0.75)
    assert found.kappa == pytest.approx((0.75 - 5 / 16) / (1 - 5 / 16))
    assert reviews.agreement(rows[:1]).share is None


def test_one_in_twenty_asks_for_a_second_reviewer_and_samples_are_as_many_as_asked_for():
    about = config(double_share=0.05, samples_per_day=300)
    twice = [asks_twice(f"{n:012x}-1c2f9a0", about) for n in range(20_000)]
    assert sum(twice) / 20_000 == pytest.approx(0.05, abs=0.006)
    others = [an_outlier(f"u{n}", p=0.5) for n in range(30_000)]
    drawn, chance = sample(others, 30_000, about)
    assert chance == 0.01
    assert len(drawn) == pytest.approx(300, abs=60)
    assert sample(reversed(others), 30_000, about)[0] == drawn[::-1]
