"""The watch of metrics: what it expects, when it alerts, what it refuses, and that neither company nor a
restart changes a bit."""

import datetime
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.injected_drops import Case, watched
from pipelines.anomalies.drops import MetricWatch, MetricWatches, WatchConfig
from pipelines.anomalies.known_events import KnownEvent
from pipelines.errors import WatchError

MONDAY = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
HOURLY = WatchConfig(window_s=3600, sums=(1, 2, 3), warm_up_s=86_400)
HOUR_MS = 3_600_000


def at(hour):
    return MONDAY + datetime.timedelta(hours=hour)


def usual(hour, size=400.0, weekend=0.6):
    """What a busy shop has in an hour of its week."""
    day = 1.0 + 0.8 * math.sin((hour % 24) / 24 * 2 * math.pi)
    return size * day * (weekend if hour // 24 % 7 >= 5 else 1.0)


def counts(hours, seed=1, size=400.0):
    chance = np.random.default_rng(seed)
    return np.array([chance.poisson(chance.gamma(200, usual(h, size) / 200)) for h in range(hours)], float)


def taught(watch, values, first=0):
    """The watch's verdicts of values, one an hour from `first`."""
    return [watch.update(at(first + hour), value) for hour, value in enumerate(values)]


def same(one, other):
    """Whether verdicts are equal to the bit, NaN equal to NaN."""
    return repr(one) == repr(other)


@pytest.mark.parametrize(("kind", "direction"), [("count", "down"), ("ratio", "both"), ("amount", "up")])
def test_a_metric_gets_the_same_bits_alone_and_in_company(kind, direction):
    config = WatchConfig(kind=kind, direction=direction, window_s=3600, sums=(1, 3), warm_up_s=7200)
    chance, n, hours = np.random.default_rng(3), 5, 200
    exposures = chance.integers(0, 3000, (hours, n)).astype(float)
    values = chance.random((hours, n)) if kind == "ratio" else chance.gamma(3, 50, (hours, n)).round()
    values[chance.random((hours, n)) < 0.05] = np.nan
    many, alone = MetricWatches(config, n), [MetricWatch(config) for _ in range(n)]
    for hour in range(hours):
        together = many.update(at(hour), values[hour], exposures[hour])
        for i, watch in enumerate(alone):
            single = watch.update(at(hour), values[hour, i], exposures[hour, i])
            assert same(single, together[i]), f"metric {i} in hour {hour}"


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 21 * 24 - 1))
def test_a_restart_is_no_restart(restart):
    values = counts(22 * 24)
    watch = MetricWatch(HOURLY)
    taught(watch, values[:restart])
    again = MetricWatch.load(HOURLY, watch.save())
    rest = values[restart : restart + 60]
    assert same(taught(watch, rest, restart), taught(again, rest, restart))
    assert watch.save() == again.save()


def test_the_longer_the_history_the_better_the_baseline():
    verdicts = taught(MetricWatch(HOURLY), counts(3 * 168))
    names = [verdict.baseline for verdict in verdicts]
    assert [names[h] for h in (30, 60, 5 * 24 + 30, 8 * 24)] == ["rolling", "day", "day", "week"]
    errors = [abs(math.log(v.expected / usual(h))) for h, v in enumerate(verdicts)]
    saturday = slice(5 * 24 + 8, 5 * 24 + 20)
    later = slice(19 * 24 + 8, 19 * 24 + 20)
    assert np.mean(errors[later]) < 0.08 < np.mean(errors[saturday])


def test_a_drop_is_found_and_not_learnt_and_a_new_level_is_learnt():
    values = counts(9 * 168, seed=2)
    begin = 4 * 168
    values[begin:] = (values[begin:] * 0.6).round()
    verdicts = taught(MetricWatch(HOURLY), values)
    alerts = [hour for hour, verdict in enumerate(verdicts) if verdict.alert]
    assert [hour for hour in alerts if hour < begin] == []
    assert begin <= alerts[0] <= begin + 2
    bias = [v.expected / usual(h) for h, v in enumerate(verdicts)]
    assert np.mean(bias[begin + 3 : begin + 9]) > 0.9, "the drop was learnt at once"
    assert np.mean(bias[-168:]) < 0.7, "the new level was never learnt"
    assert len(alerts) <= 3, "one new level is one alert, or hardly more"


def test_an_episode_alerts_once_and_again_when_it_gets_far_worse():
    watch = MetricWatch(HOURLY)
    taught(watch, counts(4 * 168))
    hours = range(4 * 168, 4 * 168 + 14)
    verdicts = [watch.update(at(h), usual(h) * (0.7 if h < 4 * 168 + 7 else 0.1)) for h in hours]
    assert [v.alert for v in verdicts].count(True) == 2
    first = [v.alert for v in verdicts].index(True)
    assert all(v.ongoing for v in verdicts[first:])
    assert verdicts[first].direction == "down"


@pytest.mark.parametrize(
    ("direction", "factor", "is_found"),
    [("down", 0.4, True), ("down", 2.5, False), ("up", 2.5, True), ("up", 0.4, False), ("both", 2.5, True)],
)
def test_only_the_direction_that_is_watched_alerts(direction, factor, is_found):
    watch = MetricWatch({"window_s": 3600, "sums": (1, 2, 3), "direction": direction})
    taught(watch, counts(3 * 168))
    hours = range(3 * 168, 3 * 168 + 3)
    assert any(watch.update(at(h), usual(h) * factor).alert for h in hours) == is_found


def test_a_ratio_is_as_sure_as_its_exposure():
    def found(exposure):
        watch, chance = (
            MetricWatch(WatchConfig(kind="ratio", window_s=3600, sums=(1, 2, 3))),
            np.random.default_rng(5),
        )
        for hour in range(3 * 168):
            watch.update(at(hour), chance.binomial(exposure, 0.1) / exposure, exposure)
        return any(watch.update(at(3 * 168 + h), 0.06, exposure).alert for h in range(3))

    assert found(4000)
    assert not found(40)


@pytest.mark.parametrize("kind", ["count", "ratio", "amount"])
def test_after_a_month_of_nothing_a_metric_begins_anew(kind):
    watch, share = MetricWatch(WatchConfig(kind=kind, window_s=3600, sums=(1, 2, 3))), kind == "ratio"

    def update(hour, value):
        return watch.update(at(hour), value / 1000 if share else value, 1000.0)

    for hour in range(100):
        update(hour, 100.0)
    verdicts = [update(hour, 0.0) for hour in range(100, 100 + 29 * 24)]
    assert 0 <= verdicts[27 * 24].expected < 1
    assert verdicts[-1].reason == "too little history", "a month of nothing was not forgotten"
    again = [update(hour, 100.0) for hour in range(5_000, 5_000 + 4 * 168)]
    assert again[0].reason == "too little history"
    assert again[-1].expected == pytest.approx(0.1 if share else 100.0, rel=0.1)
    assert [hour for hour, verdict in enumerate(again) if verdict.alert] == []


@settings(max_examples=10, deadline=None)
@given(
    st.sampled_from(["count", "ratio", "amount"]),
    st.integers(1, 60),
    st.lists(st.sampled_from([1, 30, 6 * 24 - 1, 6 * 24, 700, 5_000]), min_size=1, max_size=3),
    st.integers(0, 10**6),
)
def test_silence_is_what_windows_of_nothing_are(kind, hours, gaps, seed):
    config = WatchConfig(kind=kind, window_s=3600, sums=(1, 3), warm_up_s=7200, days_remembered=6)
    walked, skipped, chance = MetricWatches(config, 2), MetricWatches(config, 2), np.random.default_rng(seed)
    hour = 0
    for gap in gaps:
        for _ in range(hours):
            told = at(hour), chance.random(2) if kind == "ratio" else chance.poisson(3.0, 2), [20.0, 5.0]
            verdicts = [watches.update(*told) for watches in (walked, skipped)]
            assert all(same(verdicts[0][i], verdicts[1][i]) for i in range(2))
            hour += 1
        skipped.silence(at(hour), gap)
        for _ in range(gap):
            walked.update(at(hour), [0.0, 0.0], [0.0, 0.0])
            hour += 1
        assert skipped.save() == walked.save()


def test_amounts_of_money_are_watched():
    watch, chance = (
        MetricWatch(WatchConfig(kind="amount", window_s=3600, sums=(1, 2, 3))),
        np.random.default_rng(5),
    )
    for hour in range(3 * 168):
        watch.update(at(hour), chance.gamma(2.0, 5_000, chance.poisson(usual(hour) / 4)).sum())
    verdicts = [watch.update(at(3 * 168 + h), usual(h) / 4 * 10_000 * 0.4) for h in range(3)]
    assert any(verdict.alert for verdict in verdicts)


def test_what_is_not_scored_says_why_and_is_not_learnt_from():
    party = KnownEvent("sale", *(int(at(h).timestamp() * 1000) for h in (400, 405)))
    watch = MetricWatch(WatchConfig(window_s=3600, sums=(1, 2), known_events=(party,)))
    verdicts = taught(watch, counts(400))
    assert verdicts[3].reason == "too little history"
    assert math.isnan(verdicts[3].p)
    during = [watch.update(at(400 + h), 0) for h in range(5)]
    assert {v.reason for v in during} == {"known event: sale"}
    assert watch.update(at(405), None).reason == "no value"
    assert watch.update(at(406), math.nan).reason == "no value"
    assert watch.update(at(407), 3, complete=False).reason == "the window is not complete"
    after = watch.update(at(420), usual(420))
    assert (after.reason, after.alert, after.windows) == ("", False, 1), "a sum reached over the gap"
    assert abs(math.log(after.expected / usual(420))) < 0.2
    assert watch.update(at(421), 0.0).windows > 0
    assert watch.update(at(430), usual(430)).windows == 1, "a sum reached over hours without a window"


def test_little_traffic_is_not_scored():
    watch = MetricWatch(WatchConfig(window_s=3600, floor=200))
    reasons = {v.reason for v in taught(watch, np.full(400, 8.0))[100:]}
    assert reasons == {"too little traffic"}
    watch = MetricWatch(WatchConfig(window_s=3600, floor=20))
    windows = {v.windows for v in taught(watch, np.full(400, 8.0))[100:]}
    assert windows == {3, 6, 12}, "8 an hour is enough in three hours"
    assert [v.alert for v in taught(watch, np.zeros(6), 400)].count(True) == 1
    assert MetricWatch(WatchConfig(kind="ratio")).update(at(0), 0.5, 0).reason == "no exposure"


def test_the_least_detectable_drop_is_published_and_real():
    watch = MetricWatch(WatchConfig(window_s=300))
    chance, days = np.random.default_rng(2), 22
    for window in range(days * 288):
        verdict = watch.update(MONDAY + datetime.timedelta(minutes=5 * window), chance.poisson(500))
    assert 0.05 < verdict.detectable < 0.2
    kept, found = watch.save(), 0
    for _ in range(40):
        again = MetricWatch.load(watch.config, kept)
        times = [MONDAY + datetime.timedelta(minutes=5 * (days * 288 + step)) for step in range(6)]
        drop = chance.poisson(500 * (1 - verdict.detectable), 6)
        found += any(again.update(time, value).alert for time, value in zip(times, drop, strict=True))
    assert found >= 32


def test_injected_drops_are_found_within_the_budget():
    figures = watched(Case("", 200.0, 0.0), seeds=6, weeks=5, times=4)
    assert figures["50%"] == 1.0
    assert figures["30%"] >= 0.95
    assert figures["20%"] >= 0.8
    assert figures["false"] <= 1.0


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ((at(5), -1.0), "a value cannot be -1"),
        ((at(5), math.inf), "a value cannot be inf"),
        ((at(3), 5.0), "time must go forward: 2026-03-02T03:00:00"),
        ((at(4), 5.0), "time must go forward"),
        (("soon", 5.0), "'soon' is no time"),
        ((True, 5.0), "True is no time"),
    ],
)
def test_bad_windows_are_refused_and_change_nothing(given_, message):
    watch = MetricWatch(HOURLY)
    taught(watch, [5.0] * 5)
    before = watch.save()
    with pytest.raises(WatchError, match=message):
        watch.update(*given_)
    assert watch.save() == before


def test_a_ratio_without_exposure_is_refused():
    with pytest.raises(WatchError, match="a ratio needs its exposure"):
        MetricWatch({"kind": "ratio"}).update(at(0), 0.5)


def test_times_may_be_told_in_several_ways():
    ways = [at(1), "2026-03-02T01:00:00Z", np.datetime64("2026-03-02T01:00"), int(at(1).timestamp() * 1000)]
    ways.append(at(1).timestamp())
    told = []
    for way in ways:
        watch = MetricWatch(HOURLY)
        watch.update(at(0), 5)
        told.append(watch.update(way, 5))
    assert all(same(one, told[0]) for one in told)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "counts"}, "kind must be one of count, ratio, amount"),
        ({"direction": "left"}, "direction must be one of"),
        ({"window_s": 7}, "window_s must divide a day"),
        ({"sums": (3, 1)}, "sums must be rising"),
        ({"alerts_per_28_days": 0}, "alerts_per_28_days cannot be 0"),
        ({"floor": -1}, "floor cannot be -1"),
        ({"timezone": "Mars/Dune"}, "no timezone"),
        ({"windows_s": 60}, "no setting 'windows_s'; did you mean 'window_s'"),
        ({"lag_s": 10**6}, "makes the level swing"),
    ],
)
def test_a_wrong_configuration_is_told(config, message):
    with pytest.raises(WatchError, match=message):
        MetricWatch(config)


def test_kept_state_of_something_else_is_refused():
    kept = MetricWatch(HOURLY).save()
    with pytest.raises(WatchError, match="of another kind, window, sums, lag or timezone"):
        MetricWatch.load(WatchConfig(), kept)
    with pytest.raises(WatchError, match="damaged"):
        MetricWatch.load(HOURLY, kept[:100])
    with pytest.raises(WatchError, match="that of 2 metrics"):
        MetricWatch.load(HOURLY, MetricWatches(HOURLY, 2).save())


def test_metrics_may_join_later():
    watches, alone = MetricWatches(HOURLY, 1), MetricWatch(HOURLY)
    watches.update(at(0), [5])
    watches.grow(2)
    assert same(watches.update(at(1), [5, 7])[1], alone.update(at(1), 7))
    with pytest.raises(WatchError, match="cannot become 1"):
        watches.grow(1)
