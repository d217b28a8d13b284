"""Bytes to a source record, or the one reason why they are none."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

_open = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_LONGEST_INTEGER = 4000  # digits; Python refuses to read much longer ones
_OTHERS = {"[": "a list", '"': "a text", "t": "a flag", "f": "a flag", "n": "null"}


class Unreadable(ValueError):
    """A message that is no JSON object; the message says why."""


@dataclass(frozen=True)
class Source:
    """A source record: values of the fields that the domain reads, and every field as the JSON text it came
    as."""

    record: dict[str, Any]
    texts: dict[str, msgspec.Raw]


def parse(value: bytes | None, read: frozenset[str], most_bytes: int) -> Source:
    """The source record in a message's value; `read` names the fields to be decoded. Raises Unreadable with
    the reason.

    A value of more than `most_bytes` is not looked into.
    """
    if value is None:
        raise Unreadable("the value is null")
    if not value:
        raise Unreadable("the value is empty")
    if len(value) > most_bytes:
        raise Unreadable(f"the value has {len(value)} bytes, more than the allowed {most_bytes}")
    try:
        text = value.decode()
    except UnicodeDecodeError as problem:
        at = problem.start
        raise Unreadable(f"not UTF-8: byte 0x{value[at]:02x} at position {at}") from None
    try:
        fields = _open(value)
    except msgspec.ValidationError:
        start = text.lstrip()[:1]
        raise Unreadable(f"the value is {_OTHERS.get(start, 'a number')}, not a JSON object") from None
    except msgspec.DecodeError as problem:
        raise Unreadable(_why_no_json(text, str(problem))) from None
    except RecursionError:
        raise Unreadable("not JSON that can be read: lists and objects are nested too deep") from None
    return Source({name: _decoded(text) for name, text in fields.items() if name in read}, fields)


def _decoded(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.ValidationError:
        # A number that Python cannot hold becomes infinite, and no field takes that.
        return _lenient(bytes(raw).decode())


def _lenient(text: str) -> Any:
    """JSON in which NaN and Infinity are numbers and an endless integer is infinite. Raises ValueError when
    it still is none."""
    return json.loads(text, parse_int=_integer)


def _integer(digits: str) -> float:
    return int(digits) if len(digits) < _LONGEST_INTEGER else math.inf


def _why_no_json(text: str, problem: str) -> str:
    try:
        content = _lenient(text)
    except (ValueError, RecursionError):
        what = problem.removeprefix("JSON is malformed: ")
        if "truncated" in problem:
            return f"truncated JSON: it ends after {len(text.encode())} bytes, inside of a value"
        return f"not JSON: {what}"
    places = ", ".join(_odd_numbers(content))
    if places:
        return f"not JSON: {places}"
    return "not JSON: a text holds half of a surrogate pair"


def _odd_numbers(value: Any, path: str = "") -> Iterator[str]:
    """Where a value holds NaN or an infinite number, as `price_minor is NaN`."""
    below: Iterable[tuple[str, Any]] = ()
    if isinstance(value, dict):
        below = ((f"{path}.{name}" if path else name, inner) for name, inner in value.items())
    elif isinstance(value, list):
        below = ((f"{path}[{index}]", inner) for index, inner in enumerate(value))
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{path or 'the value'} is {'NaN' if math.isnan(value) else 'infinite'}"
    for where, inner in below:
        yield from _odd_numbers(inner, where)


def properties(others: dict[str, bytes]) -> dict[str, str] | None:
    """Fields that no mapping reads, by name, as JSON text; None without one.

    The entries of an object called `properties` stand beside the others under their own names. A null is no
    field.
    """
    found: dict[str, str] = {}
    nested = others.get("properties")
    inner = None
    if nested is not None:
        try:
            inner = _open(nested)
        except msgspec.ValidationError:  # some other value than an object: a field like any other
            pass
        else:
            found = {name: bytes(raw).decode() for name, raw in inner.items()}
    for name, raw in others.items():
        if name != "properties" or inner is None:
            found[name] = raw.decode()
    return {name: text for name, text in found.items() if text != "null"} or None
