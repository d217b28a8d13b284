"""Landed rows, judged and set out as columns: one sheet for each table of silver that some of them go to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.contracts.bronze import UNREADABLE
from pipelines.contracts.records import RECORDS
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS, QUARANTINE
from pipelines.contracts.table import Table
from pipelines.contracts.types import arrow_schema
from pipelines.domain import Domain, RecordKind
from pipelines.sections import Silver
from pipelines.silver.judge import ATTRIBUTE_COLUMN, Judge, Judged
from pipelines.silver.quick import MISFIT, Quick, quick_route

TABLE_OF: dict[RecordKind, Table] = {"interaction": EVENTS, "decision": DECISIONS, "item": ITEMS}
"""Kind of record → the table that its good rows go to."""

Positions = npt.NDArray[np.int64]
_SCHEMAS = {table.name: arrow_schema(table.schema) for table in (EVENTS, DECISIONS, ITEMS, QUARANTINE)}


@dataclass(frozen=True)
class Sheet:
    """Rows of a batch that go to one table: their positions in the batch and what was found in their values.

    Columns are the table's own, without coordinates and what follows from them; `reasons` for quarantine.
    """

    table: Table
    positions: Positions
    columns: pa.Table


class Clerk:
    """Judges batches of landed rows by a domain, by the quick route where a message takes it."""

    def __init__(self, domain: Domain, silver: Silver) -> None:
        self._judge = Judge(domain, silver)
        routes = (quick_route(domain, index, self._judge.limits) for index in range(len(domain.records)))
        self._quick = [route for route in routes if route is not None]

    def sheets(self, rows: pa.Table) -> list[Sheet]:
        """Sheets of rows with `value`, `headers` and `arrived_at`: each row is on exactly one of them."""
        arrived = rows["arrived_at"].cast(pa.int64()).to_numpy() // 1000
        values = rows["value"].to_pylist()
        broken = _unreadable(rows["headers"])
        taken, left = self._decode(values, broken)
        sheets = [] if not broken else [_refused(broken)]
        for route, (decoded, positions) in taken.items():
            at = np.asarray(positions, dtype=np.int64)
            columns, fit = route.columns(decoded, arrived[at])
            found = _table(TABLE_OF[route.kind], columns)
            left += at[~fit].tolist()
            sheets.append(
                Sheet(TABLE_OF[route.kind], at[fit], found if fit.all() else found.filter(pa.array(fit)))
            )
        self._quick.sort(key=lambda route: -len(taken[route][0]) if route in taken else 0)
        return sheets + self._judged(values, arrived, sorted(left))

    def _decode(
        self, values: list[bytes | None], broken: dict[int, str]
    ) -> tuple[dict[Quick, tuple[list[Any], list[int]]], list[int]]:
        """Decoded messages with their positions for each quick route, and the positions that none takes."""
        taken: dict[Quick, tuple[list[Any], list[int]]] = {}
        left: list[int] = []
        most = self._judge.limits.most_bytes
        for position, value in enumerate(values):
            if value is None or len(value) > most or position in broken:
                if position not in broken:
                    left.append(position)
                continue
            for route in self._quick:
                try:
                    decoded = route.decode(value)
                except MISFIT:
                    continue
                rows, positions = taken.setdefault(route, ([], []))
                rows.append(decoded)
                positions.append(position)
                break
            else:
                left.append(position)
        return taken, left

    def _judged(self, values: list[bytes | None], arrived: Positions, positions: list[int]) -> list[Sheet]:
        found: dict[str, tuple[list[int], list[Judged]]] = {}
        for position in positions:
            judged = self._judge.judge(values[position], int(arrived[position]))
            self._teach(judged)
            table = TABLE_OF[judged.kind] if judged.kind else QUARANTINE
            at, verdicts = found.setdefault(table.name, ([], []))
            at.append(position)
            verdicts.append(judged)
        tables = {table.name: table for table in (*TABLE_OF.values(), QUARANTINE)}
        return [
            Sheet(tables[name], np.asarray(at, dtype=np.int64), _columns(tables[name], verdicts))
            for name, (at, verdicts) in found.items()
        ]

    def _teach(self, judged: Judged) -> None:
        if judged.others:
            for route in self._quick:
                if route.index == judged.record:
                    route.learn(judged.others)


def _unreadable(headers: pa.ChunkedArray) -> dict[int, str]:
    """Position → reason of the rows that say in a header that they stand for a file which could not be
    read."""
    if headers.null_count == len(headers):
        return {}
    return {
        position: header["value"].decode(errors="replace")
        for position, given in enumerate(headers.to_pylist())
        for header in given or ()
        if header["key"] == UNREADABLE
    }


def _refused(reasons: dict[int, str]) -> Sheet:
    columns = _table(QUARANTINE, {"reasons": [[reason] for reason in reasons.values()]})
    return Sheet(QUARANTINE, np.fromiter(reasons, dtype=np.int64), columns)


def _columns(table: Table, verdicts: list[Judged]) -> pa.Table:
    if table is QUARANTINE:
        return _table(table, {"reasons": [verdict.reasons for verdict in verdicts]})
    kind = next(kind for kind, goes_to in TABLE_OF.items() if goes_to is table)
    names = [*RECORDS[kind], "properties", *(ATTRIBUTE_COLUMN.values() if kind == "item" else ())]
    maps = {"properties", *ATTRIBUTE_COLUMN.values()}
    columns: dict[str, list[Any]] = {
        name: [verdict.fields.get(name) for verdict in verdicts] for name in names
    }
    for name in maps & columns.keys():
        columns[name] = [None if given is None else list(given.items()) for given in columns[name]]
    return _table(table, columns)


def _table(table: Table, columns: dict[str, Any]) -> pa.Table:
    """Columns as the table's types; times come in milliseconds."""
    schema = _SCHEMAS[table.name]
    fields = [field for field in schema if field.name in columns]
    arrays = [_typed(columns[field.name], field.type) for field in fields]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _typed(values: Any, kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        moments = values if isinstance(values, pa.Array) else pa.array(values, pa.int64())
        return moments.cast(pa.timestamp("ms", tz="UTC")).cast(kind)
    if not isinstance(values, pa.Array):
        return pa.array(values, kind)
    return values if values.type == kind else values.cast(kind)
