"""How far the streams have come: what Kafka holds against what each layer of the lake accounts for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.anomalies.behaviour import NAMES, Kind
from pipelines.contracts import bronze, silver
from pipelines.errors import StackError
from pipelines.io import kafka_admin, lake
from pipelines.settings import Settings
from pipelines.stack import local

POLL_S = 2.0
DESCRIBED = f"""
SELECT coalesce(sum(vector[{{events}}] + vector[{1 + NAMES.index("decisions")}]), 0) AS n
FROM gold.behaviour_vectors WHERE entity = 'user' AND window_minutes = {{minutes}}"""
CLOSED = """
WITH acts AS (
    SELECT epoch_ms(event_time) AS ms FROM silver.events WHERE NOT is_late
    UNION ALL SELECT epoch_ms(event_time) FROM silver.decisions WHERE NOT is_late
)
SELECT count(*) AS n FROM acts WHERE ms < (SELECT max(ms) FROM acts) // {ms} * {ms}"""
SILVER = (silver.EVENTS, silver.DECISIONS, silver.ITEMS, silver.QUARANTINE)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """One part of the way: rows that should have arrived, and rows that have."""

    name: str
    due: int
    done: int


def landed(settings: Settings) -> Step:
    """Messages in Kafka, and rows of bronze that came from there."""
    due = sum(sum(kafka_admin.end_offsets(settings, topic).values()) for topic in bronze.BY_TOPIC)
    done = 0
    for table in bronze.BY_TOPIC.values():
        rows = lake.query(settings, f"SELECT count(*) AS n FROM {table.name} WHERE topic NOT LIKE '%:%'")
        done += int(rows["n"][0])
    return Step("landed", due, done)


def refined(settings: Settings) -> Step:
    """Rows of bronze, and rows of silver: every one is good or quarantined."""
    due = sum(lake.count(settings, t.name) for t in (bronze.INTERACTIONS, bronze.CATALOG))
    return Step("refined", due, sum(lake.count(settings, t.name) for t in SILVER))


def published(settings: Settings) -> Step:
    """Decisions, and decisions whose outcomes gold has."""
    return _of_decisions(settings, "published", "gold.decision_outcomes")


def described(settings: Settings) -> Step:
    """Acts of silver in windows of users that have closed, and those that behaviour vectors count: of the
    shortest such windows that are watched; nothing where none are."""
    lengths = [Kind.of(text).minutes for text in settings.outliers.watched if text.startswith("user/")]
    if not lengths:
        return Step("described", 0, 0)
    done = lake.query(settings, DESCRIBED.format(minutes=min(lengths), events=1 + NAMES.index("events")))
    due = lake.query(settings, CLOSED.format(ms=min(lengths) * 60_000))
    return Step("described", int(due["n"][0]), int(done["n"][0]))


def scored(settings: Settings) -> Step:
    """Decisions, and decisions that the champion has scored."""
    return _of_decisions(settings, "scored", "gold.scores")


def watched(settings: Settings) -> Step:
    """Behaviour vectors, and those that the outlier model has scored."""
    due, done = (lake.count(settings, f"gold.{name}") for name in ("behaviour_vectors", "outliers"))
    return Step("watched", due, done)


def _of_decisions(settings: Settings, name: str, table: str) -> Step:
    done = lake.query(settings, f"SELECT count(DISTINCT decision_id) AS n FROM {table}")
    return Step(name, lake.count(settings, "silver.decisions"), int(done["n"][0]))


def wait_until_done(
    settings: Settings, step: Callable[[Settings], Step], say: Say, patience_s: float = 300.0
) -> Step:
    """Wait until everything due has arrived, and tell about it.

    Raises StackError when a part of the stack died, or when nothing has moved for `patience_s` seconds.
    """
    last, moved = step(settings), time.monotonic()
    say(f"{last.name} {last.done:,} of {last.due:,}")
    while last.done < last.due:
        _check_parts(settings)
        time.sleep(POLL_S)
        now = step(settings)
        if now != last:
            moved = time.monotonic()
            say(f"{now.name} {now.done:,} of {now.due:,}")
        if time.monotonic() - moved > patience_s:
            raise StackError(
                f"{now.name}: {now.done:,} of {now.due:,} rows, and no more for {patience_s:.0f} s; "
                f"see the logs in {settings.state / 'logs'}"
            )
        last = now
    return last


def wait_until_published(settings: Settings, say: Say) -> None:
    """Wait until everything that Kafka holds is in bronze, in silver and in gold, as `wait_until_done`."""
    for step in (landed, refined, published, described):
        wait_until_done(settings, step, say)


def _check_parts(settings: Settings) -> None:
    for seen in local.status(settings):
        if seen.state == "died":
            raise StackError(f"{seen.part} died; its log is {seen.log}. `lakepulse up` starts it again")
