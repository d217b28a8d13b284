"""Publishing of behaviour vectors: late, out of order, restarted, killed between a write and its checkpoint,
each window ends as one run over everything makes it."""

import argparse
import datetime
from functools import partial

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from jobs import watch_behaviour
from pipelines.anomalies.behaviour import Kind
from pipelines.anomalies.watching import Pace, Past, Watch, pace_of, past_of
from pipelines.contracts import gold, silver
from pipelines.io import checkpoints, delta, lake
from tests.anomalies.builders import DAY_0, HOUR, act, change, found, table
from tests.builders_gold import a_history, a_shop, an_event, at, rows_of

WATERMARK, KINDS = 3600, ("user/5", "device/60", "user/1440")
PACE = Pace(tuple(map(Kind.of, KINDS)), 24 * 3_600_000, WATERMARK * 1000)
END = 80 * HOUR


class Lake:
    """Rows in the order of their arrival, what of them is in silver, and gold.behaviour_vectors."""

    def __init__(self, rows):
        self.rows, self.landed, self.stored, self.revision = rows, 0, {}, 0

    def past(self):
        return Past(self._acts, self._published)

    def _acts(self, since, until):
        inside = [r for r in self.rows[: self.landed] if "kind" not in r or since <= r["at"] < until]
        return table(inside)

    def _published(self):
        latest = {}
        for (entity, _, minutes, start), _ in self.stored.items():
            kind, ms = Kind(entity, minutes), int(start.timestamp() * 1000)
            latest[kind] = max(latest.get(kind, ms), ms)
        return latest

    def write(self, rows):
        for row in rows.to_pylist():
            key = tuple(row[name] for name in gold.BEHAVIOUR_VECTORS.key)
            if key not in self.stored or self.stored[key]["revision"] < row["revision"]:
                self.stored[key] = row

    def batch(self, watch, first, last, is_repeat=False):
        self.revision += 1
        made, written = watch.take(table(self.rows[first:last]), self.revision)
        if not is_repeat:
            self.write(made)
            written()
        return made


def plain(rows):
    return {key: {n: v for n, v in row.items() if n != "revision"} for key, row in rows.items()}


def at_once(rows):
    """Every closed window as `vectors` makes it of all rows."""
    newest = max(row["at"] for row in rows if "kind" in row)
    made = {}
    for text in KINDS:
        kind = Kind.of(text)
        for row in found(rows, text).values():
            if int(row["window_start"].timestamp() * 1000) + kind.length <= newest:
                made[tuple(row[name] for name in gold.BEHAVIOUR_VECTORS.key)] = row
    return plain(made)


def a_stream(seed, count=160):
    """Acts of few entities over three days in the order of their arrival, some within the watermark late; the
    last one is so late that all before is final."""
    chance = np.random.default_rng(seed)
    times = chance.uniform(0, END - 30 * HOUR, count)
    delays = np.where(chance.random(count) < 0.2, chance.uniform(0, WATERMARK, count), 0)
    rows = []
    for number in np.argsort(times + delays):
        kind = str(chance.choice(["view", "click", "purchase", "login_failed"]))
        about = {"item_id": f"i{chance.integers(4)}", "device_id": f"d{chance.integers(5)}", "source": "web"}
        rows.append(act(times[number], kind, f"u{chance.integers(6)}", id=f"e{number}", **about))
        if chance.random() < 0.05:
            moment = max(0.0, times[number] + delays[number] - chance.uniform(0, WATERMARK))
            rows.append(change(moment, f"i{chance.integers(4)}", f"c{chance.integers(3)}"))
    return [*rows, act(END, id="last", user_id="zoe")]


@settings(max_examples=15, deadline=None, phases=[Phase.generate])  # to shrink one takes minutes
@given(st.integers(0, 10_000), st.lists(st.integers(4, 60), min_size=4, max_size=12))
def test_batches_and_late_rows_end_as_one_run_over_everything(seed, sizes):
    house = Lake(a_stream(seed))
    watch, first = Watch(PACE, house.past()), 0
    while first < len(house.rows):
        last = first + sizes[first % len(sizes)]
        house.landed = last
        house.batch(watch, first, last)
        first = last
    assert plain(house.stored) == at_once(house.rows)


@settings(max_examples=15, deadline=None, phases=[Phase.generate])  # to shrink one takes minutes
@given(st.integers(0, 10_000), st.integers(6, 60), st.integers(0, 40), st.booleans())
def test_a_killed_stream_goes_on_and_ends_the_same(seed, size, ahead, was_written):
    """At each start silver is some rows ahead of the stream; the last batch before a kill comes again,
    whether it was written or not."""
    house = Lake(a_stream(seed))
    watch, first, number = Watch(PACE, house.past()), 0, 0
    while first < len(house.rows):
        last, number = first + size, number + 1
        house.landed = max(house.landed, last)
        if (
            number % 3 == 0
        ):  # killed in this batch: it is written or not, and then repeated by another process
            if was_written:
                house.batch(watch, first, last)
            house.landed = last + ahead
            watch = Watch(PACE, house.past())
            house.batch(watch, first, last, is_repeat=was_written)
        else:
            house.batch(watch, first, last)
        first = last
    assert plain(house.stored) == at_once(house.rows)


def test_acts_of_long_ago_are_published_too():
    recent, old = [act(60 * HOUR + n, id=f"a{n}") for n in range(5)], [act(n, id=f"b{n}") for n in range(3)]
    middle = [act(20 * HOUR, id="m", device_id="d")]
    house = Lake([*recent, act(62 * HOUR, id="x"), *old, *middle, act(END, id="last")])
    house.landed = len(house.rows)
    watch = Watch(PACE, house.past())
    for n in range(len(house.rows)):
        house.batch(watch, n, n + 1)
    assert plain(house.stored) == at_once(house.rows)


def test_a_window_is_told_when_it_closes_and_again_only_where_something_changed():
    house = Lake([])
    watch = Watch(Pace((Kind("user", 5),), 24 * 3_600_000, WATERMARK * 1000), house.past())

    def take(*rows):
        house.rows += rows
        house.landed = len(house.rows)
        made = house.batch(watch, house.landed - len(rows), house.landed).to_pylist()
        return [(r["entity_id"], int(r["window_start"].timestamp() - DAY_0) // 300) for r in made]

    assert take(act(10), act(20, user_id="bob"), act(299)) == []
    assert sorted(take(act(300, user_id="cyd"))) == [("ann", 0), ("bob", 0)]
    assert take(act(30, user_id="bob", id="late")) == [], "corrected when it is final, not for each late row"
    assert take(act(4000, user_id="cyd")) == [("bob", 0), ("cyd", 1)]
    assert sorted(take(act(40, user_id="bob", id="later"))) == [("ann", 0), ("bob", 0)], "at once, and whole"
    assert take(act(4001, user_id="cyd")) == []


# The job, on Delta.


def arrive(settings, contract, rows):
    delta.ensure_local(settings, contract)
    delta.append_arrow(rows_of(contract, rows), contract, settings, mark="")


def run_once(spark, settings):
    [query] = watch_behaviour.run(settings, spark, argparse.Namespace(domain=a_shop(), once=True))
    try:
        assert query.awaitTermination(240)
        assert query.exception() is None
    finally:
        checkpoints.disown(settings, "watch_behaviour")


def test_the_job_publishes_in_steps_and_after_a_restart_what_one_run_publishes(spark, settings):
    done, lists, versions = a_history(seed=5, rows=240)
    done.append(an_event(60 * 60, event_id="last"))
    done.append(an_event(-600, event_id="too late", is_late=True))
    for part in range(2):
        for contract, rows in ((silver.EVENTS, done), (silver.DECISIONS, lists), (silver.ITEMS, versions)):
            rows = sorted(rows, key=lambda row: row[contract.event_time])
            half = len(rows) // 2 + 9
            arrive(settings, contract, rows[:half] if part == 0 else rows[half:])
        run_once(spark, settings)
    rows = lake.rows(settings, gold.BEHAVIOUR_VECTORS, gold.BEHAVIOUR_VECTORS.schema.names)
    ours = by_key(rows.to_pylist())
    past = past_of(partial(delta.read, spark, settings), a_shop(), datetime.timedelta(hours=1))
    everything = Watch(pace_of(settings), Past(past.acts, dict)).take(past.acts(0, 2**42), 1)[0]
    assert ours == by_key(everything.to_pylist())
    assert len(ours) > 400
    assert {(entity, minutes) for entity, _, minutes, _ in ours} >= {("user", 5), ("device", 60)}
    too_late = at(-600).astimezone(datetime.UTC)
    assert not [
        key for key in ours if key[2] == 5 and key[3] <= too_late < key[3] + datetime.timedelta(minutes=5)
    ]
    assert any("device" in dict(row["links"]) for row in ours.values())


def by_key(rows):
    return plain({tuple(row[name] for name in gold.BEHAVIOUR_VECTORS.key): row for row in rows})
