"""How a domain's source records are read: paths into a record, which kind of record it is, and its time."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.domain import Domain, Record
from pipelines.errors import DomainError

Getter = Callable[[dict[str, Any]], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LONGEST_NUMBER = 24  # characters; a longer text is no time, and Python refuses to read very long ones
_LARGEST_MS = 2**63 - 1


def compile_path(path: str) -> Getter:
    """A function from a record to the value at `path`; None where any step of it is missing.

    `a.b` goes into objects, `items[].id` gives the list of every element's `id` (None for an element
    without one), `items[]` the list itself. A step `[]` on something that is no list gives None. Raises
    DomainError for a path with an empty step.

    >>> compile_path("items[].id")({"items": [{"id": "7"}, {"id": "9"}, {}]})
    ['7', '9', None]
    """
    head, is_list, rest = path.partition("[]")
    steps = tuple(head.split("."))
    if "" in steps or "[" in head or "]" in head:
        raise DomainError(f"'{path}' is no path: write a, a.b or a[].b")
    reach = _reach(steps)
    if not is_list:
        return reach
    if not rest:
        return lambda record: found if isinstance(found := reach(record), list) else None
    if not rest.startswith("."):
        raise DomainError(f"'{path}' is no path: after [] comes nothing or a dot")
    each = compile_path(rest[1:])

    def of_each(record: dict[str, Any]) -> list[Any] | None:
        found = reach(record)
        if not isinstance(found, list):
            return None
        return [each(element) if isinstance(element, dict) else None for element in found]

    return of_each


def _reach(steps: tuple[str, ...]) -> Getter:
    if len(steps) == 1:
        only = steps[0]
        return lambda record: record.get(only)

    def walk(record: dict[str, Any]) -> Any:
        value: Any = record
        for step in steps:
            if not isinstance(value, dict):
                return None
            value = value.get(step)
        return value

    return walk


class Router:
    """Tells which of a domain's records a source record is: the first whose `when` holds."""

    def __init__(self, domain: Domain) -> None:
        """Compile every `when` of the domain. Raises DomainError for a wrong path."""
        self.records = domain.records
        self._conditions = [
            [(compile_path(p), wanted) for p, wanted in r.when.items()] for r in domain.records
        ]

    def index(self, record: dict[str, Any]) -> int | None:
        """Position in `domain.records` of the record's kind; None when nothing matches."""
        for index, conditions in enumerate(self._conditions):
            for get, wanted in conditions:
                value = get(record)
                if value != wanted and _as_text(value) != wanted:
                    break
            else:
                return index
        return None

    def route(self, record: dict[str, Any]) -> Record | None:
        """The record's kind; None when nothing matches."""
        index = self.index(record)
        return None if index is None else self.records[index]


def _as_text(value: Any) -> str | None:
    """A JSON number or flag as a domain file spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def event_time_ms(value: Any, unit: str) -> int | None:
    """A source's time as milliseconds since the epoch, UTC; None when it is none.

    `unit` is the domain's `time_unit`: for `ms` and `s` numbers and texts of digits are times, fractions
    rounded to the millisecond; for `iso8601` texts are, without an offset in UTC. Times outside of 64 bits
    are none.
    """
    if unit == "iso8601":
        return _of_iso8601(value) if isinstance(value, str) else None
    number = _number(value)
    if number is None:
        return None
    ms = number if unit == "ms" else number * 1000
    whole = ms if isinstance(ms, int) else round(ms)
    return whole if -_LARGEST_MS <= whole <= _LARGEST_MS else None


def _number(value: Any) -> int | float | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if abs(value) < _LARGEST_MS else None  # also false for NaN
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NUMBER or not value.isascii():
        return None
    digits = value[1:] if value[0] == "-" else value
    if digits.isdigit():
        return int(value)
    whole, _, fraction = digits.partition(".")
    if not (whole.isdigit() and fraction.isdigit()):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _of_iso8601(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MILLISECOND
