"""The lake as reviewers see it, by delta-rs alone: alerts, what is around them, and what reviewers say."""

from __future__ import annotations

import glob
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.dataset as ds

from pipelines.anomalies.desk import Desk, Filters, assignment_row, expected_matchers, is_expected, review_row
from pipelines.anomalies.findings import DROP
from pipelines.anomalies.firewall import COLUMNS
from pipelines.anomalies.reviews import ASSIGNMENT, millis
from pipelines.contracts import TABLES
from pipelines.contracts.gold import OUTLIERS
from pipelines.contracts.ops import ALERT_ORDERS
from pipelines.contracts.silver import EVENTS
from pipelines.contracts.table import Table
from pipelines.contracts.watch import ALERTS, REVIEWS, SILENCES
from pipelines.errors import RequestError
from pipelines.io import calendar, lake, reviewing
from pipelines.io.reviewing import Row, Said
from pipelines.settings import Settings

BEFORE, AFTER = timedelta(hours=6), timedelta(hours=1)
HOUR_MS = 3_600_000
MOST_EVENTS, MOST_POINTS, MOST_WINDOWS = 200, 200, 50
VERDICTS = "gold.metric_verdicts"
_EVENT = ("event_time", "event_type", "item_id", "query", "price_minor", "currency", "source", "device_id")
_POINT = ("window_start", "value", "expected", "low", "high", "alert")
_WINDOW = ("window_start", "window_minutes", "p_value", "is_found", "top_features")


class ReviewLake:
    """See `serving.reviewing.Lake`."""

    def __init__(self, settings: Settings, now_ms: Callable[[], int]) -> None:
        """`now_ms` is the clock."""
        self._settings, self._now_ms = settings, now_ms
        self._said = Said(settings, None)
        self._one = threading.Lock()  # a repeat of a request must find what the first one wrote

    def desk(self) -> Desk:
        """Alerts and reviews as they are now."""
        with self._one:
            alerts, reviews = self._said.rows(ALERTS), self._said.rows(REVIEWS)
            evidence = self._said.rules(self._now_ms()).evidence
            orders = sorted(self._said.rows(ALERT_ORDERS), key=lambda row: row["since"])
        return Desk(alerts, reviews, evidence, self._settings.alerts, orders[-1] if orders else None)

    def around(self, alert: Mapping[str, Any]) -> dict[str, Any]:
        """The events of the incident's first entity that has some, or the series of its first metric."""
        since, until = alert["window_start"] - BEFORE, alert["window_end"] + AFTER
        members = alert["members"] or []
        if alert["kind"] == DROP:
            return {"events": [], **self._series(members[0]["entity_id"], since, until)}
        for member in members[:3]:
            column = COLUMNS.get(member["entity"])
            if column is None:
                continue
            wanted = ds.field(column) == member["entity_id"]
            days = _between("event_date", since.date(), until.date())
            times = _between("event_time", since, until)
            rows = self._rows(EVENTS, _EVENT, wanted & days & times)
            if rows:
                ordered = sorted(rows, key=lambda row: row["event_time"])
                return {"events": ordered[-MOST_EVENTS:], "events_of": member, "series": []}
        return {"events": [], "series": []}

    def _series(self, named: str, since: Any, until: Any) -> dict[str, Any]:
        metric, _, segment = named.partition("@")
        table = TABLES.get(VERDICTS)
        if table is None:
            return {"series": []}
        wanted = (ds.field("metric") == metric) & (ds.field("segment") == segment)
        days = _between("day", since.date(), until.date())
        rows = self._rows(table, (*_POINT, "causes"), wanted & days & _between("window_start", since, until))
        ordered = sorted(rows, key=lambda row: row["window_start"])[-MOST_POINTS:]
        causes: list[Row] = next((row["causes"] for row in reversed(ordered) if row.get("causes")), [])
        points = [{name: row.get(name) for name in _POINT} for row in ordered]
        return {"series": points, "series_of": named, "causes": causes}

    def _rows(self, table: Table, names: tuple[str, ...], wanted: ds.Expression) -> list[Row]:
        where = lake.location(self._settings, table)
        if not deltalake.DeltaTable.is_deltatable(where):
            return []
        found = deltalake.DeltaTable(where).to_pyarrow_dataset()
        present = [name for name in names if name in found.schema.names]
        rows: pa.Table = found.to_table(columns=present, filter=wanted)
        listed: list[Row] = rows.to_pylist()
        return listed

    def of_entity(self, entity: str, entity_id: str) -> dict[str, Any]:
        """The entity's incidents, and its last windows."""
        wanted = (ds.field("entity") == entity) & (ds.field("entity_id") == entity_id)
        windows = self._rows(OUTLIERS, _WINDOW, wanted)
        newest = sorted(windows, key=lambda row: row["window_start"], reverse=True)[:MOST_WINDOWS]
        return {
            "entity": entity,
            "entity_id": entity_id,
            "incidents": self.desk().history([(entity, entity_id)]),
            "windows": newest,
        }

    def review(self, incident_id: str, verdict: str, reason: str, reviewer: str, key: str) -> dict[str, Any]:
        """Keep a verdict, once for a key. `expected` begins a silence of the same cause too; a drop's time
        goes into the calendar, so that it is neither scored nor learnt from."""
        alert, now = self.desk().alert(incident_id), self._now_ms()
        row = review_row(alert, verdict, reason.strip(), reviewer, now, key or str(now))
        begun: list[Row] = []
        with self._one:
            if self._is_known(row):
                return {"review_id": row["review_id"], "is_repeat": True, "silences": []}
            if is_expected(row):
                begun = self._expect(alert, reason.strip() or incident_id, reviewer, now)
            reviewing.append(self._settings, REVIEWS, [row])
        silences = [{"silence_id": row["silence_id"], "until": row["until"]} for row in begun]
        return {"review_id": row["review_id"], "is_repeat": False, "silences": silences}

    def _expect(self, alert: Mapping[str, Any], why: str, reviewer: str, now: int) -> list[Row]:
        config, hours = self._settings.alerts, 24.0 * self._settings.alerts.expected_days
        if alert["kind"] == DROP:
            hours = config.expected_drop_hours
            start, end = millis(alert["window_start"]), millis(alert["window_end"]) + round(hours * HOUR_MS)
            for what in expected_matchers(alert):
                calendar.add_event(self._settings, f"expected: {why}", start, end, **what)
        about = (hours, f"expected: {why}", reviewer, now)
        exactly = [{n: glob.escape(v) for n, v in what.items()} for what in expected_matchers(alert)]
        begun = [reviewing.silence_row(what, *about) for what in exactly]
        reviewing.append(self._settings, SILENCES, begun)
        return begun

    def assign(self, incident_id: str, to: str, reviewer: str, key: str) -> dict[str, Any]:
        """Keep whose an incident is."""
        alert, now = self.desk().alert(incident_id), self._now_ms()
        row = assignment_row(alert, to.strip(), reviewer, now, f"{ASSIGNMENT}{key or now}")
        with self._one:
            if not self._is_known(row):
                reviewing.append(self._settings, REVIEWS, [row])
        return {"review_id": row["review_id"], "assigned_to": row["assigned_to"]}

    def _is_known(self, row: Row) -> bool:
        return any(known["review_id"] == row["review_id"] for known in self._said.rows(REVIEWS))

    def silences(self) -> list[Row]:
        """Silences that have not ended, the newest first."""
        now = self._now_ms()
        with self._one:
            rows = self._said.rows(SILENCES)
        valid = [row for row in rows if row["until"].timestamp() * 1000 > now]
        shown = [row | {"matchers": dict(row["matchers"] or ())} for row in valid]
        return sorted(shown, key=lambda row: row["created_at"], reverse=True)

    def silence(
        self, matchers: Mapping[str, str], hours: float, why: str, by: str, key: str = ""
    ) -> dict[str, Any]:
        """Begin a silence, once for a key."""
        row = reviewing.silence_row(matchers, hours, why, by, self._now_ms(), key)
        with self._one:
            known = {known["silence_id"]: known for known in self._said.rows(SILENCES)}
            row = known.get(row["silence_id"], row)
            if row["silence_id"] not in known:
                reviewing.append(self._settings, SILENCES, [row])
        return row | {"matchers": dict(matchers)}

    def end_silence(self, silence_id: str) -> dict[str, Any]:
        """End a silence."""
        with self._one:
            rows = self._said.rows(SILENCES)
            row = next((row for row in rows if row["silence_id"] == silence_id), None)
            if row is None:
                raise RequestError(404, f"there is no silence {silence_id} that has not ended")
            reviewing.append(self._settings, SILENCES, [reviewing.ended(row)])
        return {"silence_id": silence_id, "is_removed": True}

    def queue(self, filters: Filters, reviewer: str) -> list[dict[str, Any]]:
        """What is to be reviewed."""
        return self.desk().queue(filters, reviewer)


def _between(name: str, first: Any, last: Any) -> ds.Expression:
    return (ds.field(name) >= first) & (ds.field(name) <= last)
