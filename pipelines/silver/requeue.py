"""Quarantined rows that are good now, since the domain was taught better or someone repaired them.

They land in bronze once more, with the topic `requeue:<topic>` and their old partition, offset and arrival,
and are refined like any other row. So bronze alone still gives all of silver, and the quarantined row stays:
rows consumed are still the good and the quarantined ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.bronze import CATALOG, INTERACTIONS, LANDED
from pipelines.contracts.silver import ITEMS, QUARANTINE
from pipelines.contracts.table import Table
from pipelines.contracts.types import arrow_schema
from pipelines.errors import InputFileError
from pipelines.silver.reasons import reason_class
from pipelines.silver.sheets import Clerk
from pipelines.silver.stored import Place

REQUEUED = "requeue:"


class Repair(msgspec.Struct, forbid_unknown_fields=True):
    """A line of a file of repairs: which quarantined row, and the record that it should have been."""

    topic: str
    partition: int
    offset: int
    value: msgspec.Raw


@dataclass(frozen=True)
class Requeued:
    """Rows to land again, by bronze's tables, and what happened to the others: counts by a short name."""

    rows: tuple[tuple[Table, pa.Table], ...]
    counts: dict[str, int]


def places_of(rows: pa.Table) -> list[Place]:
    """Topic, partition and offset of each row."""
    return list(zip(*(rows[name].to_pylist() for name in ("topic", "partition", "offset")), strict=True))


def chosen(quarantined: pa.Table, reason: str | None) -> pa.Table:
    """Rows with a reason that contains the text, or all; never repeats, for their first one is in silver."""

    def is_chosen(reasons: list[str]) -> bool:
        is_repeat = any(reason_class(given) == "duplicate" for given in reasons)
        return not is_repeat and (reason is None or any(reason in given for given in reasons))

    return quarantined.filter(
        pa.array([is_chosen(r) for r in quarantined["reasons"].to_pylist()], pa.bool_())
    )


def repaired(quarantined: pa.Table, lines: Iterable[tuple[int, bytes]], file: str) -> pa.Table:
    """The rows that a file of repairs names, with their new values.

    Raises InputFileError for a line that is no repair, names no quarantined row, or names one twice.
    """
    positions = {place: position for position, place in enumerate(places_of(quarantined))}
    values: dict[int, bytes] = {}
    for line, text in lines:
        try:
            repair = msgspec.json.decode(text, type=Repair)
        except msgspec.MsgspecError as problem:
            wanted = '{"topic": …, "partition": …, "offset": …, "value": {…}}'
            raise InputFileError(f"{file}:{line}: {problem}; a repair is {wanted}") from None
        place = (repair.topic, repair.partition, repair.offset)
        if place not in positions:
            raise InputFileError(f"{file}:{line}: no quarantined row at {place}; see silver.quarantine")
        if positions[place] in values:
            raise InputFileError(f"{file}:{line}: the row at {place} is repaired twice")
        values[positions[place]] = bytes(repair.value)
    rows = quarantined.take(pa.array(list(values), pa.int64()))
    new = {"value": pa.array(list(values.values()), pa.binary()), "headers": pa.nulls(len(values))}
    columns = [new[f.name].cast(f.type) if f.name in new else rows[f.name] for f in rows.schema]
    return pa.table(columns, schema=rows.schema)


def requeue(rows: pa.Table, clerk: Clerk, requeued_before: set[Place], now: datetime) -> Requeued:
    """What of the chosen rows is good now and was not requeued before, as rows of bronze."""
    again = [f"{REQUEUED}{topic}" for topic in rows["topic"].to_pylist()]
    rows = rows.set_column(rows.schema.get_field_index("topic"), "topic", pa.array(again, pa.string()))
    is_new = np.array([place not in requeued_before for place in places_of(rows)], dtype=bool)
    new = rows.filter(pa.array(is_new))
    counts = Counter({"requeued before": rows.num_rows - new.num_rows})
    found: dict[str, tuple[Table, list[pa.Table]]] = {}
    for sheet in clerk.sheets(new):
        if sheet.table is QUARANTINE:
            firsts = pc.list_element(sheet.columns["reasons"], 0).to_pylist()
            counts.update(f"still wrong: {reason_class(first)}" for first in firsts)
            continue
        table = CATALOG if sheet.table is ITEMS else INTERACTIONS
        counts["requeued"] += len(sheet.positions)
        landing = _landing(new.take(pa.array(sheet.positions)), now)
        found.setdefault(table.name, (table, []))[1].append(landing)
    return Requeued(tuple((table, pa.concat_tables(parts)) for table, parts in found.values()), dict(counts))


def _landing(rows: pa.Table, now: datetime) -> pa.Table:
    columns = {name: rows[name] for name in ("topic", "partition", "offset", "key", "value", "headers")}
    columns["timestamp"] = rows["arrived_at"]
    columns["ingested_at"] = pa.array([now] * rows.num_rows, pa.timestamp("us", tz="UTC"))
    columns["ingest_date"] = pa.array([now.date()] * rows.num_rows, pa.date32())
    return pa.table([columns[f.name].cast(f.type) for f in arrow_schema(LANDED)], schema=arrow_schema(LANDED))
