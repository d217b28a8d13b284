"""Whom models must not learn from now, as the lake's alerts and reviews say."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import pyarrow as pa

from pipelines.anomalies.firewall import COLUMNS, taught_by
from pipelines.anomalies.reviews import held_out
from pipelines.contracts.table import Table
from pipelines.contracts.watch import ALERTS, REVIEWS
from pipelines.io import parts
from pipelines.session import Lender
from pipelines.settings import Settings


class HeldOut:
    """Spans of entities of confirmed incidents, and of severe ones that nobody has judged, see
    `reviews.held_out`."""

    def __init__(self, settings: Settings, spark: Lender) -> None:
        """Read what is held out now."""
        alerts, reviews = (self._all(settings, table, spark) for table in (ALERTS, REVIEWS))
        self.spans = held_out(alerts, reviews, settings.alerts)
        self._settings, self._spark = settings, spark
        self._mark = settings.state / "purged"

    @staticmethod
    def _all(settings: Settings, table: Table, spark: Lender) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = parts.valid_rows(settings, table, table.schema.names, spark).to_pylist()
        return rows

    def without(self, rows: pa.Table) -> pa.Table:
        """The rows of silver.events or silver.decisions that nobody held has made."""
        return taught_by(rows, self.spans)

    def teaching_rows(self, table: Table, columns: Sequence[str]) -> pa.Table:
        """Columns of the valid rows of silver.events or silver.decisions that nobody held has made."""
        who = [name for name in COLUMNS.values() if self.spans and name not in columns]
        return self.without(parts.valid_rows(self._settings, table, [*columns, *who], self._spark))

    def is_purged(self) -> bool:
        """Whether the online store was last built without just these."""
        return self._digest() == (self._mark.read_text() if self._mark.is_file() else HeldOut._of([]))

    def note_purged(self) -> None:
        """The online store is built without these."""
        self._mark.parent.mkdir(parents=True, exist_ok=True)
        self._mark.write_text(self._digest())

    def _digest(self) -> str:
        return self._of(sorted(astuple(span)[:4] for span in self.spans))

    @staticmethod
    def _of(spans: list[tuple[Any, ...]]) -> str:
        return hashlib.sha256(repr(spans).encode()).hexdigest()
