"""Reviews and silences in the lake: what people have said, read again when it has changed, and how they say
it. Without Spark where the lake is local."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import deltalake
import pyarrow as pa

from pipelines.anomalies.alert_batches import Rules
from pipelines.anomalies.alert_rows import utc
from pipelines.anomalies.reviews import evidence, judged_outliers, millis, settled
from pipelines.anomalies.silences import Silence, check_matchers
from pipelines.clock import now_ms
from pipelines.contracts.table import Table
from pipelines.contracts.types import arrow_schema
from pipelines.contracts.watch import REVIEWS, SILENCES
from pipelines.errors import SettingsError
from pipelines.io import delta, lake, parts
from pipelines.session import Lender
from pipelines.settings import Settings

Row = dict[str, Any]


class Said:
    """Tables that change seldom: their valid rows, read again when there is another version."""

    def __init__(self, settings: Settings, spark: Lender | None) -> None:
        """Nothing is read yet. Without `spark` a lake that is not of this machine is read by delta-rs."""
        self._settings, self._spark = settings, spark
        self._known: dict[str, tuple[int, list[Row]]] = {}

    def rows(self, table: Table) -> list[Row]:
        """The table's valid rows."""
        names, spark = table.schema.names, self._spark
        if spark is None:
            version = lake.version(self._settings, table) or 0
        else:
            version = parts.version(self._settings, table, spark)
        known = self._known.get(table.name)
        if known is None or known[0] != version:
            if spark is None:
                found = lake.rows(self._settings, table, names)
            else:
                found = parts.valid_rows(self._settings, table, names, spark, at=version)
            known = self._known[table.name] = (version, found.to_pylist())
        return known[1]

    def rules(self, at_ms: int) -> Rules:
        """What alerts must heed at this time."""
        reviews = self.rows(REVIEWS)
        return Rules(
            silences=[s for s in map(_silence, self.rows(SILENCES)) if at_ms < s.until_ms],
            evidence=evidence(reviews, at_ms, self._settings.alerts),
            reviewed=settled(reviews).keys(),
            judged=len(judged_outliers(reviews)),
        )


def _silence(row: Row) -> Silence:
    return Silence(row["silence_id"], dict(row["matchers"] or ()), millis(row["until"]))


def silence_row(
    matchers: Mapping[str, str], hours: float, why: str, by: str, at_ms: int | None = None, key: str = ""
) -> Row:
    """A row of gold.silences that begins now; a `key` always names the same silence. Raises SettingsError for
    matchers that fit everything or name no known field, and for a time that is none."""
    check_matchers(matchers)
    if not 0 < hours <= 24 * 366:
        raise SettingsError(f"a silence lasts from a moment to a year, not {hours:g} hours")
    if not why.strip():
        raise SettingsError("a silence needs its reason, for those who come later")
    now = utc(now_ms() if at_ms is None else at_ms)
    return {
        "silence_id": hashlib.sha256(f"{by}|{key}".encode()).hexdigest()[:12]
        if key
        else uuid.uuid4().hex[:12],
        "matchers": list(matchers.items()),
        "until": utc(millis(now) + round(hours * 3_600_000)),
        "why": why.strip(),
        "created_by": by,
        "created_at": now,
        "day": now.date(),
        "is_removed": False,
        "revision": 1,
    }


def ended(row: Row) -> Row:
    """The row that ends a silence."""
    return row | {
        "is_removed": True,
        "revision": row["revision"] + 1,
        "matchers": list(row["matchers"] or ()),
    }


def append(settings: Settings, table: Table, rows: Sequence[Row]) -> None:
    """Append what somebody has said, without Spark."""
    typed = pa.Table.from_pylist(list(rows), arrow_schema(table.schema))
    if parts.is_here(settings, table):
        delta.ensure_local(settings, table)
        delta.append_arrow(typed, table, settings, mark="")
    else:
        deltalake.write_deltalake(lake.location(settings, table), typed, mode="append")
