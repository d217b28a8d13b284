"""Publishing in micro-batches: late, out of order, repeated after a kill, it ends as one run over all."""

import argparse
import datetime
from dataclasses import replace

import pytest

from jobs import publish_gold
from pipelines.contracts import gold, silver
from pipelines.contracts.watch import ALERTS, REVIEWS
from pipelines.gold.decision_outcomes import decision_outcomes
from pipelines.gold.engagement import engagement
from pipelines.gold.item_stats import item_stats
from pipelines.gold.sessions import sessions
from pipelines.gold.user_profiles import user_profiles
from pipelines.io import checkpoints, delta
from tests.builders_gold import a_decision, a_history, a_shop, an_event, an_item, at, rows_of
from tests.builders_watch import a_review

GAP = datetime.timedelta(minutes=30)
PUBLISHED = (
    gold.SESSIONS,
    gold.ITEM_STATS,
    gold.ENGAGEMENT,
    gold.DECISION_OUTCOMES,
    gold.USER_PROFILES,
)


@pytest.fixture
def in_small_steps(settings):
    """Settings under which a micro-batch takes one file of each table of silver."""
    return replace(settings, streams=replace(settings.streams, max_files_per_trigger=1))


def arrive(spark, settings, table, rows):
    delta.ensure(spark, settings, table)
    delta.append_arrow(rows_of(table, rows), table, settings, mark="")


def publish(spark, settings):
    """Publish what is there, and return the numbers of the micro-batches that exist by then."""
    [query] = publish_gold.run(settings, spark, argparse.Namespace(domain=a_shop(), once=True))
    try:
        query.awaitTermination()
    finally:
        checkpoints.disown(settings, "publish_gold")
    commits = checkpoints.local_path(checkpoints.location(settings, "publish_gold")) / "commits"
    return sorted(int(p.name) for p in commits.iterdir() if p.name.isdigit())


def at_once(spark, settings):
    """Every table as its function makes it from all of silver."""
    events, decisions, items = (
        delta.read(spark, settings, t) for t in (silver.EVENTS, silver.DECISIONS, silver.ITEMS)
    )
    shop, own = a_shop(), sessions(events, decisions, GAP, 0).persist()
    return {
        gold.SESSIONS: own,
        gold.ITEM_STATS: item_stats(events, decisions, 0),
        gold.ENGAGEMENT: engagement(events, decisions, items, shop, 0),
        gold.DECISION_OUTCOMES: decision_outcomes(decisions, events, shop, 0),
        gold.USER_PROFILES: user_profiles(own, items, shop, 0),
    }


def by_key(table, frame):
    rows = frame.drop("revision").toArrow().to_pylist()
    found = {tuple(row[name] for name in table.key): row for row in rows}
    assert len(found) == len(rows), f"{table.name} has a key twice"
    return found


def assert_as_at_once(spark, settings):
    for table, expected in at_once(spark, settings).items():
        published = by_key(table, delta.latest(spark, settings, table))
        wanted = by_key(table, expected)
        wrong = {key: (published.get(key), wanted.get(key)) for key in published.keys() | wanted.keys()}
        wrong = {key: pair for key, pair in wrong.items() if pair[0] != pair[1]}
        assert not wrong, (
            f"{table.name}: {len(wrong)} of {len(wanted)} keys differ, e.g. {next(iter(wrong.items()))}"
        )


def test_micro_batches_end_as_one_run_over_all_and_a_killed_one_is_repeated(spark, in_small_steps):
    done, lists, versions = a_history(seed=5, rows=240)
    batches = 3
    for number in range(batches):
        arrive(spark, in_small_steps, silver.EVENTS, done[number::batches])
        arrive(spark, in_small_steps, silver.DECISIONS, lists[number::batches])
        arrive(spark, in_small_steps, silver.ITEMS, versions[number::batches])
    numbers = publish(spark, in_small_steps)
    assert len(numbers) >= batches
    assert_as_at_once(spark, in_small_steps)

    written = {table: delta.version(spark, in_small_steps, table) for table in PUBLISHED}
    checkpoint = checkpoints.local_path(checkpoints.location(in_small_steps, "publish_gold"))
    (checkpoint / "commits" / str(numbers[-1])).unlink()
    forgotten = (gold.ITEM_STATS, gold.USER_PROFILES)
    for table in forgotten:  # as if the kill had come before these two were written
        forget_last_commit(in_small_steps, table, written[table])
    publish(spark, in_small_steps)
    assert {table: delta.version(spark, in_small_steps, table) for table in PUBLISHED} == written
    assert_as_at_once(spark, in_small_steps)


def test_acts_of_held_entities_leave_item_statistics_and_come_back(spark, settings):
    bots = [an_event(n, "click", "bot", item_id=name, event_id=name) for n, name in enumerate(("hat", "bag"))]
    arrive(spark, settings, silver.EVENTS, [an_event(1, "click", item_id="hat", event_id="a"), *bots])
    arrive(spark, settings, silver.DECISIONS, [a_decision(2, ["hat"], "bot", decision_id="d")])
    publish(spark, settings)
    whole = {"hat": (1, {"click": 2}, 2), "bag": (0, {"click": 1}, 1)}
    assert stats(spark, settings) == whole
    hold(spark, settings, "one", "bot")
    passing(spark, settings, "b")
    held = {"hat": (0, {"click": 1}, 1), "bag": (0, {}, 0)}
    assert stats(spark, settings) == held
    # The batch is repeated after a kill, and a verdict has come meanwhile: the next batch takes it up.
    arrive(spark, settings, REVIEWS, [a_review("one", "false_alarm", entities=[])])
    checkpoint = checkpoints.local_path(checkpoints.location(settings, "publish_gold"))
    max((checkpoint / "commits").glob("[0-9]*"), key=lambda path: int(path.name)).unlink()
    publish(spark, settings)
    assert stats(spark, settings) == held
    passing(spark, settings, "c")
    assert stats(spark, settings) == whole


def hold(spark, settings, incident, user):
    end = at(60)
    member = {"entity": "user", "entity_id": user, "p": 1e-6, "exposure": 9.0}
    member |= {"window_start": at(0), "window_end": end}
    about = {"fingerprint": "f", "kind": "outlier", "severity": 9.0, "opened_at": end, "day": end.date()}
    about |= {"incident_id": incident, "level": "critical", "state": "open", "entities": 1, "revision": 1}
    arrive(spark, settings, ALERTS, [about | {"members": [member]}])


def passing(spark, settings, event_id):
    """A micro-batch of something that no item is in."""
    arrive(spark, settings, silver.EVENTS, [an_event(3, "search", "cas", event_id=event_id)])
    publish(spark, settings)


def stats(spark, settings):
    rows = delta.latest(spark, settings, gold.ITEM_STATS).toArrow().to_pylist()
    return {row["item_id"]: (row["shown"], dict(row["counts"]), row["users"]) for row in rows}


def forget_last_commit(settings, table, version):
    folder = checkpoints.local_path(delta.path(settings, table)) / "_delta_log"
    for path in folder.glob(f"{version:020d}*"):
        path.unlink()


def test_a_late_row_merges_sessions_and_corrects_what_was_published(spark, settings):
    bought = {"event_type": "purchase", "price_minor": 100, "currency": "EUR", "item_id": "hat"}
    arrive(spark, settings, silver.EVENTS, [an_event(0, event_id="a"), an_event(50, event_id="b", **bought)])
    publish(spark, settings)
    assert {r.session_start for r in valid(spark, settings, gold.SESSIONS)} == {utc(at(0)), utc(at(50))}
    arrive(spark, settings, silver.EVENTS, [an_event(25, event_id="c", is_late=True)])
    publish(spark, settings)
    [session] = valid(spark, settings, gold.SESSIONS)
    assert (session.session_start, session.session_end, session.events) == (utc(at(0)), utc(at(50)), 3)
    stored = delta.read(spark, settings, gold.SESSIONS).where("is_removed").collect()
    assert [r.session_start for r in stored] == [utc(at(50))]
    [profile] = valid(spark, settings, gold.USER_PROFILES)
    assert (profile.sessions, profile.events, profile.revenue_minor) == (1, 3, {"EUR": 100})


def test_a_late_version_of_an_item_moves_what_was_published_to_its_segment(spark, settings):
    click = an_event(5, "click", item_id="hat", event_id="a", decision_id="d")
    arrive(spark, settings, silver.EVENTS, [click])
    arrive(spark, settings, silver.DECISIONS, [a_decision(4, ["hat"], decision_id="d")])
    publish(spark, settings)
    assert categories(spark, settings) == {"category=unknown"}
    arrive(spark, settings, silver.ITEMS, [an_item("hat", 3, category="hats")])
    publish(spark, settings)
    assert categories(spark, settings) == {"category=hats"}
    assert_as_at_once(spark, settings)


def valid(spark, settings, table):
    return delta.latest(spark, settings, table).collect()


def categories(spark, settings):
    rows = valid(spark, settings, gold.ENGAGEMENT)
    return {r.segment for r in rows if r.segment.startswith("category=")}


def utc(when):
    """A time as Spark hands it to Python: without a zone, in that of the process."""
    return when.astimezone().replace(tzinfo=None)
