"""Values of a source record as the kinds that the contract knows. What cannot be one says what it is and what
it should be."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from pipelines.contracts.records import Field
from pipelines.domain import Attribute
from pipelines.mapping import event_time_ms

FIRST_MS = -62_135_596_800_000  # 0001-01-01, the first and the last moment that a timestamp can hold
LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999

_WHOLE = re.compile(r"[+-]?\d{1,40}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
LONGEST_SHOWN = 60  # characters of a wrong value that a reason repeats
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_TIME = {
    "ms": "milliseconds since 1970",
    "s": "seconds since 1970",
    "iso8601": "a time as in 2026-01-31T12:00:00Z",
}


class Unfit(ValueError):
    """A value that is not of its kind: what is wrong with it and, inside of a list, `[position]`."""

    def __init__(self, problem: str, where: str = "") -> None:
        """`problem` goes on behind the field's name and `where`."""
        super().__init__(problem)
        self.problem, self.where = problem, where

    def sentence(self, name: str) -> str:
        """The reason, for a field of this name."""
        return f"{name}{self.where} {self.problem}"


def described(value: Any) -> str:
    """A wrong value as a reason names it: `the text 'abc'`, `a list`, `NaN`.

    >>> described("abc"), described(True), described([1]), described(float("nan"))
    ("the text 'abc'", 'the flag true', 'a list', 'NaN')
    """
    if isinstance(value, str):
        cut = value if len(value) <= LONGEST_SHOWN else value[:LONGEST_SHOWN] + "…"
        return f"the text {cut!r}"
    if isinstance(value, bool):
        return f"the flag {str(value).lower()}"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinite"
    if isinstance(value, int | float):
        digits = repr(value)
        return "the number " + (digits if len(digits) <= LONGEST_SHOWN else digits[:LONGEST_SHOWN] + "…")
    if value is None:
        return "null"
    return "a list" if isinstance(value, list) else "an object"


def _wrong(value: Any, wanted: str) -> Unfit:
    return Unfit(f"is {described(value)}, but should be {wanted}")


def as_text(value: Any) -> str:
    """A text; a whole number counts as its digits, since many shops number their users and items."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _wrong(value, "a text")


def as_integer(value: Any, bits: int = 64) -> int:
    """A whole number of at most `bits` bits; digits in a text count, since CSV files know no numbers."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(value, "a whole number")
    if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        raise Unfit(f"is {described(value)}, more than {bits} bits hold")
    return value


def as_number(value: Any) -> float:
    """A finite number; a decimal number in a text counts."""
    if isinstance(value, str) and len(value) <= LONGEST_SHOWN and _DECIMAL.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(value, "a number")
    try:
        number = float(value)
    except OverflowError:
        raise Unfit(f"is {described(value)}, more than a 64-bit float holds") from None
    if not math.isfinite(number):
        raise _wrong(number, "a number")
    return number


def as_time(value: Any, unit: str) -> int:
    """A moment in milliseconds since 1970, UTC, between the years 1 and 9999."""
    moment = event_time_ms(value, unit)
    if moment is None:
        raise _wrong(value, _TIME[unit])
    if not FIRST_MS <= moment <= LAST_MS:
        raise Unfit(f"is {described(value)}, which lies outside of the years 1 to 9999")
    return moment


def as_flag(value: Any) -> bool:
    """True or false; their names in a text count."""
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise _wrong(value, "true or false")


def as_list(value: Any, each: Callable[[Any], Any], wanted: str) -> list[Any]:
    """A list whose elements are all of one kind; the first that is not is named by its position."""
    if not isinstance(value, list):
        raise _wrong(value, wanted)
    found = []
    for index, element in enumerate(value):
        try:
            found.append(each(element))
        except Unfit as problem:
            raise Unfit(problem.problem, f"[{index}]") from None
    return found


def of_field(field: Field, value: Any, time_unit: str) -> Any:
    """The value as the field's kind; times become milliseconds since 1970. Raises Unfit."""
    match field.kind:
        case "text":
            return as_text(value)
        case "integer":
            return as_integer(value, field.bits)
        case "number":
            return as_number(value)
        case "time":
            return as_time(value, time_unit)
        case "flag":
            return as_flag(value)
        case "texts":
            return as_list(value, as_text, "a list of texts")
        case "numbers":
            return as_list(value, as_number, "a list of numbers")


def of_attribute(attribute: Attribute, value: Any) -> Any:
    """The value as the attribute's kind. Raises Unfit."""
    match attribute.kind:
        case "number":
            return as_number(value)
        case "category" | "text":
            return as_text(value)
        case "tags":
            return as_list(value, as_text, "a list of texts")
        case "vector":
            vector = as_list(value, _as_component, "a list of numbers")
            if len(vector) != attribute.length:
                raise Unfit(f"has {len(vector)} numbers, but should have {attribute.length}")
            return vector


def _as_component(value: Any) -> float:
    number = as_number(value)
    if abs(number) > _FLOAT32_MAX:
        raise Unfit(f"is {described(number)}, more than a 32-bit float holds")
    return number


def as_json(value: Any) -> str:
    """The value as JSON text."""
    return msgspec.json.encode(value).decode()
