"""Findings become few incidents, however they are cut into micro-batches."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipelines.anomalies import incidents as of
from pipelines.anomalies.alert_batches import Batch, Rules, State
from pipelines.anomalies.alerts import raise_incidents
from pipelines.anomalies.findings import Reason
from pipelines.anomalies.reviews import Evidence
from pipelines.anomalies.silences import Silence
from tests.builders_watch import CONFIG, MINUTE, NOON_MS, a_campaign, a_drop, a_reason, an_outlier, config

RULES = Rules()


def batch(*findings, newest=None, **more):
    newest = max((f.window_start_ms for f in findings), default=0) if newest is None else newest
    return Batch(findings, newest, **more)


class Watch:
    """Batches one after the other, and what came of them."""

    def __init__(self, config=CONFIG, rules=RULES):
        self.config, self.rules, self.state = config, rules, State()
        self.suppressed, self.notifications = [], []

    def take(self, *findings, now=None, **more):
        given = batch(*findings, **more)
        now = given.newest_ms + 5 * MINUTE if now is None else now
        done = raise_incidents(self.state, given, now, self.config, self.rules)
        self.state = done.state
        self.suppressed += done.suppressed
        self.notifications += [(n.incident.incident_id, n.why, now) for n in done.notifications]
        return done

    def having(self, *states):
        return [i for i in self.state.incidents.values() if i.state in (states or ("open",))]


def in_batches(findings):
    """Those of each window start together."""
    for _, group in itertools.groupby(findings, key=lambda f: f.window_start_ms):
        yield list(group)


def without_pattern(finding):
    return {kind: value for kind, value in finding.links.items() if kind != "pattern"}


@pytest.mark.parametrize("seed", range(20))
def test_a_campaign_of_500_is_one_incident_told_at_most_twice_for_its_reason(seed):
    watch = Watch()
    for findings in in_batches(a_campaign(seed)):
        if seed % 2:  # nothing that all of them share: parts find each other by addresses and devices
            findings = [dataclasses.replace(f, links=without_pattern(f)) for f in findings]
        watch.take(*findings)
    [incident] = watch.having("open")
    assert len(incident.members) == 500
    assert [i.state for i in watch.having("open", "closed", "capped")] == ["open"]
    assert 1 <= len(watch.notifications) <= 2
    assert "failures" in [told[0] for told, _ in of.chief_reasons(incident)[:3]]


def test_the_same_batch_again_changes_nothing():
    watch = Watch(config(capacity_per_day=2))
    crowd = [an_outlier(name, p=10.0**-n) for n, name in enumerate(("ann", "bob", "cis", "dan"), 2)]
    findings = [*crowd, a_drop(), a_drop(segment="source=web"), *a_campaign(1)[:80]]
    watch.take(*findings)
    again = watch.take(*findings)
    assert (again.changed, again.suppressed, again.notifications) == ([], [], [])


@hypothesis_settings(max_examples=30, deadline=None)
@given(st.data())
def test_however_findings_are_cut_and_ordered_they_make_the_same_incidents(data):
    findings = a_campaign(data.draw(st.integers(0, 5)), entities=12, minutes=60)
    findings += [an_outlier("ann", 5), an_outlier("ann", 10, p=1e-5), a_drop("carts", minute=5)]
    ordered = data.draw(st.permutations(findings))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(ordered)), max_size=4)))
    watch, whole = Watch(), Watch()
    whole.take(*findings)
    for start, end in itertools.pairwise([0, *cuts, len(ordered)]):
        watch.take(*ordered[start:end], now=NOON_MS)
    found = [
        sorted((sorted(i.members), i.p, i.exposure, i.first_ms, i.last_ms) for i in one.having("open"))
        for one in (watch, whole)
    ]
    assert found[0] == found[1]


def test_unrelated_entities_are_incidents_of_their_own():
    watch = Watch()
    watch.take(an_outlier("ann", links={"device": "d1"}), an_outlier("bob", links={"device": "d2"}))
    assert len(watch.having("open")) == 2


def test_an_address_of_many_usual_customers_joins_nobody():
    office = {"address": "office"}
    two = [an_outlier("ann", links=office), an_outlier("bob", links=office)]
    watch = Watch()
    watch.take(*two, carriers={"address=office": 300})
    assert len(watch.having("open")) == 2
    watch = Watch()
    watch.take(*two, carriers={"address=office": 4})
    assert len(watch.having("open")) == 1


def test_an_incident_takes_what_comes_within_the_merge_gap_and_then_closes():
    watch = Watch(config(merge_gap_minutes=30, cooldown_minutes=60))
    watch.take(an_outlier("ann", 0))
    watch.take(an_outlier("ann", 34))
    assert len(watch.having("open")) == 1
    watch.take(newest=NOON_MS + 70 * MINUTE)
    assert [i.state for i in watch.having("open", "closed")] == ["closed"]


def test_the_same_cause_within_the_cooldown_reopens_its_incident_silently():
    watch = Watch(
        config(merge_gap_minutes=30, cooldown_minutes=60, notify_level="low", notify_wait_minutes=0)
    )
    watch.take(an_outlier("ann", 0))
    watch.take(newest=NOON_MS + 36 * MINUTE)
    watch.take(an_outlier("ann", 80))
    assert [i.state for i in watch.having("open", "closed")] == ["open"]
    assert len(watch.notifications) == 1
    watch.take(an_outlier("ann", 300))
    assert len(watch.having("open")) == 1
    assert len(watch.notifications) == 2


def test_a_link_between_two_incidents_makes_them_one():
    watch = Watch()
    watch.take(an_outlier("ann", links={"device": "d1"}), an_outlier("bob", links={"address": "a1"}))
    first = min(watch.having("open"), key=lambda i: i.incident_id)
    watch.take(an_outlier("cis", 5, links={"device": "d1", "address": "a1"}))
    [kept] = watch.having("open")
    [merged] = watch.having("merged")
    assert kept.incident_id == first.incident_id == merged.merged_into
    assert len(kept.members) == 3


def test_an_incident_is_told_again_when_its_level_rises_but_not_at_once():
    watch = Watch(config(notify_level="low", notify_pause_minutes=30, notify_wait_minutes=0))
    links = {"device": "d1"}
    watch.take(an_outlier("u0", p=1e-2, links=links))
    watch.take(*(an_outlier(f"u{n}", 10, p=1e-5, links=links) for n in range(9)))
    assert [why for _, why, _ in watch.notifications] == ["opened"]
    watch.take(newest=NOON_MS + 30 * MINUTE)
    assert [why for _, why, _ in watch.notifications] == ["opened", "escalated"]
    watch.take(
        *(an_outlier(f"u{n}", 40, p=1e-12, exposure=1e6, links=links) for n in range(90)), now=2 * NOON_MS
    )
    assert len(watch.notifications) == 2


def test_who_is_told_waits_while_parts_find_each_other_unless_it_is_critical():
    watch = Watch(config(notify_wait_minutes=10, notify_level="low"))
    watch.take(an_outlier("ann"), now=NOON_MS)
    assert watch.notifications == []
    watch.take(an_outlier("bob", 5, p=1e-15, exposure=1e5), a_drop(minute=5), now=NOON_MS)
    assert len(watch.notifications) == 2
    watch.take(newest=NOON_MS + 10 * MINUTE, now=NOON_MS)
    assert len(watch.notifications) == 3


def test_what_is_beyond_the_daily_cap_is_kept_and_reported_once():
    watch = Watch(config(capacity_per_day=2))
    for minute in (0, 5):
        watch.take(*(an_outlier(f"u{n}", minute, p=10.0 ** -(n + 2)) for n in range(4)))
    assert sorted(m for i in watch.having("open") for m in i.members) == ["user=u2", "user=u3"]
    assert len(watch.having("capped")) == 2
    assert [s.why for s in watch.suppressed] == ["capped", "capped"]
    watch.take(an_outlier("u0", 24 * 60))
    assert [i.state for i in watch.state.incidents.values() if "user=u0" in i.members] == ["open"]


def test_a_higher_level_takes_the_place_of_a_lower_one_that_nobody_has_reviewed():
    watch = Watch(config(capacity_per_day=2))
    watch.take(an_outlier("u0", p=1e-2), an_outlier("u1", p=1e-3))
    done = {i.incident_id for i in watch.having("open") if "user=u0" in i.members}
    watch.rules = Rules(reviewed=done)
    watch.take(an_outlier("u2", p=1e-12, exposure=1e5))
    assert sorted(m for i in watch.having("open") for m in i.members) == ["user=u0", "user=u2"]


def test_a_silence_mutes_what_fits_until_its_end():
    silence = Silence("s1", {"entity": "user", "entity_id": "bot*"}, NOON_MS + 60 * MINUTE)
    watch = Watch(rules=Rules(silences=[silence]))
    watch.take(an_outlier("bot1"), an_outlier("ann"), now=NOON_MS)
    assert [m for i in watch.having("open") for m in i.members] == ["user=ann"]
    assert [(s.why, s.told, s.finding.entity_id) for s in watch.suppressed] == [("silenced", "s1", "bot1")]
    watch.take(an_outlier("bot1", 60), now=NOON_MS + 60 * MINUTE)
    assert len(watch.having("open")) == 2


def test_a_drop_of_the_whole_site_mutes_its_segments_before_and_after():
    watch = Watch()
    watch.take(a_drop(segment="source=web"), a_drop("carts", "source=web"))
    [segment] = watch.having("open")
    assert sorted(segment.members) == ["metric=carts@source=web", "metric=clicks@source=web"]
    watch.take(a_drop(minute=5), a_drop("carts", minute=5), a_drop("carts", "source=app", minute=5))
    [whole] = watch.having("open")
    assert sorted(whole.members) == ["metric=carts@all", "metric=clicks@all"]
    assert sorted(whole.segments) == ["carts@source=app", "carts@source=web", "clicks@source=web"]
    assert [s.why for s in watch.suppressed] == ["inhibited"]
    watch.take(a_drop(segment="source=tv", minute=10), a_drop("views", "source=tv", minute=10))
    assert len(watch.having("open")) == 2, "a metric that has not dropped everywhere is not muted"


def test_200_false_alarms_of_a_pattern_cut_it_and_touch_no_other():
    """Of each pattern the same findings by chance, and true ones among them; one pattern is distrusted."""
    import numpy as np

    chance = np.random.default_rng(5)
    patterns = [(a_reason(a), a_reason(b)) for a, b in itertools.combinations(("a", "b", "c", "d"), 2)]
    findings = [
        an_outlier(f"u{n}", p=float(10 ** -chance.uniform(2, 6)), reasons=patterns[n % 6], exposure=20.0)
        for n in range(3_000)
    ]
    distrusted = of.pattern_of(findings[0])
    false = [float(10 ** -chance.uniform(2, 6)) for _ in range(200)]
    evidence = {distrusted: Evidence(0, 200, min(false), 60.0)}

    def heard(rules):
        watch = Watch(config(capacity_per_day=10_000), rules)
        watch.take(*findings, bound=1e-2)
        return [m for i in watch.having("open") for m in i.members]

    before, after = heard(RULES), heard(Rules(evidence=evidence))
    own = {of.key_of(f) for f in findings if of.pattern_of(f) == distrusted}
    assert sum(m in own for m in before) == 500
    assert sum(m in own for m in after) <= 0.2 * 500
    assert sum(m in own for m in after) > 0, "some pass, so that the pattern can win trust back"
    assert [m for m in after if m not in own] == [m for m in before if m not in own]


def test_far_more_at_stake_passes_whatever_the_pattern():
    finding = an_outlier("ann", exposure=130.0)
    evidence = {of.pattern_of(finding): Evidence(0, 200, 1e-9, 60.0)}
    watch = Watch(config(explore_share=0.0), Rules(evidence=evidence))
    watch.take(finding, an_outlier("bob", exposure=120.0))
    assert [m for i in watch.having("open") for m in i.members] == ["user=ann"]


def test_samples_are_in_the_queue_and_nobody_is_told():
    watch = Watch(config(notify_level="low"))
    watch.take(newest=NOON_MS, samples=[an_outlier("ann", p=0.7)], chance=0.01)
    [drawn] = watch.having("open")
    assert (drawn.kind, drawn.chance, watch.notifications) == ("sample", 0.01, [])


def test_a_number_that_is_not_known_changes_nothing_at_a_repeat():
    watch, drop = Watch(), a_drop(reasons=(Reason("clicks", float("nan"), 80.0, 120.0),))
    watch.take(drop)
    assert watch.take(drop).changed == []
