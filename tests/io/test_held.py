"""Whom models must not learn from, as a real lake says it."""

import datetime

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from pipelines import settings as settings_module
from pipelines.contracts.silver import EVENTS
from pipelines.contracts.types import arrow_schema
from pipelines.contracts.watch import ALERTS, REVIEWS
from pipelines.errors import StackError
from pipelines.io import lake
from pipelines.io.held import HeldOut
from tests.builders_watch import NOON_MS, a_review

NOON = datetime.datetime.fromtimestamp(NOON_MS / 1000, datetime.UTC)
WINDOW = {"window_start": NOON, "window_end": NOON + datetime.timedelta(minutes=5)}


@pytest.fixture
def settings(tmp_path):
    return settings_module.load(environ={}, overrides={"paths": {"state": str(tmp_path)}})


def no_spark():
    raise StackError("a lake of this machine is read without Spark")


def stored(settings, table, *rows):
    """Append rows, null where they say nothing, to a table of the lake."""
    schema = arrow_schema(table.schema)
    made = pa.Table.from_pylist([dict.fromkeys(schema.names) | row for row in rows], schema)
    write_deltalake(lake.location(settings, table), made, mode="append")


def an_alert(incident_id, entity, entity_id, level="critical", state="open"):
    member = {"entity": entity, "entity_id": entity_id, "p": 1e-6, "exposure": 9.0, **WINDOW}
    about = {"fingerprint": "f", "kind": "outlier", "severity": 9.0, "opened_at": NOON, "day": NOON.date()}
    return about | {
        "incident_id": incident_id,
        "level": level,
        "state": state,
        "entities": 1,
        "members": [member],
        "revision": 1,
    }


def an_event(number, user, device, minute):
    at = NOON + datetime.timedelta(minutes=minute)
    return {"event_id": f"e{number}", "event_time": at, "user_id": user, "device_id": device}


def test_a_lake_without_alerts_holds_nobody_out(settings):
    held = HeldOut(settings, no_spark)
    assert held.spans == []
    assert held.is_purged()
    stored(settings, EVENTS, an_event(1, "ann", None, 1))
    assert held.teaching_rows(EVENTS, ["event_id"]).num_rows == 1


def test_severe_incidents_hold_until_they_are_judged_and_confirmed_ones_for_good(settings):
    events = [an_event(1, "ann", "d1", 1), an_event(2, "ann", "d1", 6), an_event(3, "bob", "d2", 1)]
    stored(settings, EVENTS, *events, an_event(4, "cas", "d3", 2))
    stored(settings, ALERTS, an_alert("one", "user", "ann"), an_alert("two", "device", "d2"))
    stored(settings, ALERTS, an_alert("three", "user", "cas", level="low"))

    def left():
        rows = HeldOut(settings, no_spark).teaching_rows(EVENTS, ["event_id", "event_time"])
        return sorted(rows["event_id"].to_pylist())

    assert left() == ["e2", "e4"]
    assert not HeldOut(settings, no_spark).is_purged()
    HeldOut(settings, no_spark).note_purged()
    assert HeldOut(settings, no_spark).is_purged()
    stored(settings, REVIEWS, a_review("two", "false_alarm", entities=[]))
    assert left() == ["e2", "e3", "e4"]
    assert not HeldOut(settings, no_spark).is_purged()
    confirmed = [{"entity": "user", "entity_id": "cas"}]
    stored(settings, REVIEWS, a_review("three", "confirmed", entities=confirmed))
    assert left() == ["e2", "e3"]
