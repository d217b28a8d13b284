"""While reviews are too few, the most unusual of each day are shown to reviewers, and to nobody else."""

import dataclasses

import pyarrow as pa

from pipelines.anomalies import incidents as of
from pipelines.anomalies.alert_batches import Batch, Rules, State
from pipelines.anomalies.alert_rows import alert_rows, utc
from pipelines.anomalies.alerts import raise_incidents
from pipelines.anomalies.desk import Desk, Filters, review_row
from pipelines.anomalies.outlier_findings import outlier_findings
from pipelines.anomalies.reviews import Evidence
from pipelines.anomalies.silences import Silence
from pipelines.anomalies.watched import OUTLIER_COLUMNS, watched
from pipelines.contracts.gold import OUTLIERS
from pipelines.contracts.types import arrow_schema
from pipelines.contracts.watch import METRIC_VERDICTS
from tests.builders_watch import MINUTE, NOON_MS, a_reason, an_outlier, config

HOUR = 60 * MINUTE
NEXT_DAY = NOON_MS + 13 * HOUR + 5 * MINUTE
"""The merge gap after midnight is over."""


def a_suspect(entity_id="ann", minute=0.0, p=1e-3, **changes):
    return dataclasses.replace(an_outlier(entity_id, minute, p=p, **changes), kind=of.UNUSUAL)


def shown(*days, rules=None, **changes):
    """(state, what reviewers are shown, the most unusual first) after batches of suspects and a new day."""
    about, state, told = config(notify_level="low", **changes), State(), []
    for suspects in (*days, []):
        newest = max((f.window_start_ms for f in suspects), default=NEXT_DAY)
        batch = Batch([], newest, unusual=suspects)
        done = raise_incidents(state, batch, newest, about, rules or Rules())
        state, told = done.state, [*told, *done.notifications]
    assert told == []
    found = [i for i in state.incidents.values() if i.kind == of.UNUSUAL and i.state == of.OPEN]
    return state, sorted(found, key=lambda i: -of.severity(i, about))


def members(found):
    return [sorted(key.removeprefix("user=") for key in incident.members) for incident in found]


def test_the_few_most_unusual_causes_of_a_day_are_shown_when_it_is_over():
    bots = [a_suspect(f"bot{n}", n, p=1e-5, links={"address": "a1"}) for n in range(3)]
    others = [a_suspect(f"u{n}", p=10.0 ** -(2.1 + n / 10)) for n in range(5)]
    usual = [a_suspect("usual", p=0.02)]
    state, found = shown([*others, *usual], bots, unusual_per_day=3)
    assert members(found) == [["bot0", "bot1", "bot2"], ["u4"], ["u3"]]
    assert state.unusual == {}
    [row, *_] = alert_rows(found, NEXT_DAY, config()).to_pylist()
    assert (row["kind"], row["level"], row["entities"]) == ("unusual", "low", 3)
    assert row["severity"] < 1


def test_what_several_kinds_of_windows_show_comes_before_a_single_odd_one():
    links = {"device": "d1"}
    both = [
        a_suspect("ann", p=2e-3, links=links),
        a_suspect("d1", p=2e-3, entity="device", links=links),
    ]
    _, found = shown([*both, a_suspect("bob", p=1e-4)], unusual_per_day=1)
    assert members(found) == [["ann", "device=d1"]]


def test_what_comes_twice_or_in_other_batches_is_shown_alike():
    suspects = [a_suspect(f"u{n}", 5 * n, p=10.0 ** -(2.1 + n / 10)) for n in range(8)]
    _, once = shown(suspects)
    _, twice = shown(suspects[4:], suspects[:6], suspects[:1])
    assert [i.members for i in once] == [i.members for i in twice]


def test_enough_verdicts_end_it():
    assert len(shown([a_suspect()], rules=Rules(judged=39), unusual_until=40)[1]) == 1
    assert shown([a_suspect()], rules=Rules(judged=40), unusual_until=40)[1] == []
    assert shown([a_suspect()], unusual_per_day=0)[1] == []


def test_a_silence_holds_and_a_pattern_that_was_found_false_comes_last():
    false = (a_reason("carts"), a_reason("clicks"))
    suspects = [a_suspect("carter", p=1e-4, reasons=false), a_suspect("ann"), a_suspect("bob", p=1e-6)]
    evidence = {of.pattern_of(suspects[0]): Evidence(0, 50)}
    silences = [Silence("s", {"entity_id": "bob"}, NOON_MS + 48 * HOUR)]
    _, found = shown(suspects, rules=Rules(silences, evidence), unusual_per_day=1)
    assert members(found) == [["ann"]]


def test_what_was_found_is_not_shown_again_and_takes_the_place_of_what_was_not():
    about, suspects = config(capacity_per_day=2), [a_suspect("ann"), a_suspect("bob"), a_suspect("cy")]
    first = Batch([an_outlier("ann", 6 * 60)], NEXT_DAY, unusual=suspects)
    done = raise_incidents(State(), first, NEXT_DAY, about, Rules())
    states = {min(i.members): (i.kind, i.state) for i in done.changed}
    assert states == {
        "user=ann": ("outlier", "open"),
        "user=bob": ("unusual", "open"),
        "user=cy": ("unusual", "capped"),
    }
    found = Batch([an_outlier("dan", 13 * 60)], NEXT_DAY)
    state = raise_incidents(done.state, found, NEXT_DAY, about, Rules()).state
    opened = [min(i.members) for i in state.incidents.values() if i.state in (of.OPEN, of.CLOSED)]
    assert opened == ["user=ann", "user=dan"]


def test_the_desk_tells_of_them_apart_and_puts_a_level_in_the_learnt_order():
    about = config(capacity_per_day=10)
    suspects = [
        a_suspect("ann", p=1e-3, learnt=-1.0),
        a_suspect("bob", p=1e-4),
        a_suspect("cy", p=4e-4, learnt=2.0),
    ]
    found = [an_outlier("eve", 12 * 60, p=1e-3), an_outlier("fay", 12 * 60, p=1e-3, exposure=1e6, learnt=0.5)]
    done = raise_incidents(State(), Batch(found, NEXT_DAY, unusual=suspects), NEXT_DAY, about, Rules())
    alerts = alert_rows(done.changed, NEXT_DAY, about).to_pylist()
    evidence = {"is_used": True, "told": "used"}
    desk = Desk(alerts, [], {}, about, evidence)
    order = [row["title"].split()[1] for row in desk.queue(Filters())]
    assert order == ["fay", "eve", "cy", "bob", "ann"], "by level, then learnt, then severity"
    plain = [alert | {"learnt": None} for alert in alerts]
    order = [row["title"].split()[1] for row in Desk(plain, [], {}, about).queue(Filters())]
    assert order == ["fay", "eve", "bob", "cy", "ann"]
    by_name = {row["title"].split()[1]: row for row in alerts_shown(desk)}
    assert by_name["cy"]["title"] == "user cy was among the day's most unusual"
    reviews = [
        review_row(desk.alert(by_name[name]["incident_id"]), verdict, "", "ann", NEXT_DAY, "k")
        for name, verdict in (("cy", "confirmed"), ("ann", "false_alarm"), ("eve", "confirmed"))
    ]
    figures = Desk(alerts, reviews, {}, about, evidence).figures()
    assert (figures["confirmed"], figures["precision"], figures["order"]) == (1, 1.0, evidence)
    shown = figures["unusual"]
    assert (shown["confirmed"], shown["false_alarm"], shown["judged"]) == (1, 1, 3)
    assert shown["until"] == about.unusual_until


def alerts_shown(desk):
    return desk.queue(Filters(all=True))


def arrived(*suspects, is_found=False):
    """Rows of `watched.arrivals`."""
    rows = [
        {
            **{"entity": f.entity, "entity_id": f.entity_id, "window_minutes": 5, "p_value": f.p},
            **{"window_start": utc(f.window_start_ms), "window_end": utc(f.window_end_ms)},
            **{"is_found": is_found, "calibration": "c1", "links": list(f.links.items()), "exposure": 1.0},
            "reasons": [dataclasses.asdict(reason) for reason in f.reasons],
        }
        for f in suspects
    ]
    fields = [arrow_schema(OUTLIERS.schema).field(name) for name in OUTLIER_COLUMNS]
    outliers = pa.array(rows, pa.struct(fields))
    verdicts = pa.nulls(len(rows), pa.struct(list(arrow_schema(METRIC_VERDICTS.schema))))
    return pa.table({"outlier": outliers, "verdict": verdicts})


def test_rows_that_were_not_found_become_suspects_and_links_are_counted_when_their_day_is_over():
    asked = []

    def seen(links, since_ms):
        asked.append((links, since_ms))
        return dict.fromkeys(links, 40)

    office = {"address": "office"}
    clerks = [a_suspect(f"clerk{n}", n, links=office) for n in range(3)]
    state, about = State(), config(samples_per_day=0)
    for rows in (arrived(*clerks, a_suspect("usual", p=0.4)), arrived(a_suspect("late", 13 * 60 + 5, p=0.4))):
        batch = watched(rows, outlier_findings, lambda _: [], seen, state, about)
        state = raise_incidents(state, batch, batch.newest_ms, about, Rules()).state
    assert asked == [(["address=office"], NOON_MS)]
    shown_now = [sorted(i.members) for i in state.incidents.values() if i.kind == of.UNUSUAL]
    assert sorted(shown_now) == [[f"user=clerk{n}"] for n in range(3)], "three of forty at an address"
