"""The opposite of `mapping`: fields of our contracts, written as the source records that a domain reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from pipelines.contracts.records import RECORDS
from pipelines.domain import Domain

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Put = Callable[[dict[str, Any], Any], None]


class SourceWriter:
    """Writes fields of one kind of record as the domain's own record of that kind."""

    def __init__(self, domain: Domain, kind: str) -> None:
        """`kind` as in a domain file: decision, interaction or item. The first record of that kind is the one
        that is written. Raises DomainError for a domain that has none."""
        record = next((record for record in domain.records if record.kind == kind), None)
        if record is None:
            raise domain.error("records", f"no record is of kind {kind}, so none can be written")
        self._when = [(_setter(path), wanted) for path, wanted in record.when.items()]
        self._fields = {name: _setter(path) for name, path in record.fields.items()}
        self._times = {name for name, field in RECORDS[record.kind].items() if field.kind == "time"}
        self._time = _TIMES[domain.time_unit]

    def record(self, values: Mapping[str, Any]) -> bytes:
        """The source record as JSON."""
        return msgspec.json.encode(self.source(values))

    def source(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The source record. Times are given in milliseconds; a field that is None is left out; what the
        mapping has no field for stands under `properties`."""
        source: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for name, value in values.items():
            if value is None:
                continue
            stored = self._time(value) if name in self._times else value
            put = self._fields.get(name)
            if put is None:
                others[name] = stored
            else:
                put(source, stored)
        for put, wanted in self._when:
            put(source, wanted)
        if others:
            source["properties"] = others
        return source


def _setter(path: str) -> Put:
    """The opposite of `mapping.compile_path`."""
    head, is_list, rest = path.partition("[]")
    *outer, last = head.split(".")

    def put(record: dict[str, Any], value: Any) -> None:
        for step in outer:
            record = record.setdefault(step, {})
        record[last] = value

    if not is_list or not rest:
        return put
    each = _setter(rest[1:])

    def put_each(record: dict[str, Any], values: Any) -> None:
        elements: list[dict[str, Any]] = [{} for _ in values]
        for element, value in zip(elements, values, strict=True):
            each(element, value)
        put(record, elements)

    return put_each


def _iso8601(ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_TIMES: dict[str, Callable[[int], Any]] = {
    "ms": lambda ms: ms,
    "s": lambda ms: ms / 1000,
    "iso8601": _iso8601,
}
