"""What the service is asked and what it answers, as JSON objects: wrong ones are told by field."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

import msgspec

from pipelines.errors import RequestError, nearest
from pipelines.silver.rules import LONGEST_ID, MOST_SHOWN

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID)]
Count = Annotated[int, msgspec.Meta(ge=1, le=MOST_SHOWN)]
Query = Annotated[str, msgspec.Meta(max_length=1000)]
Context = dict[str, str | int | float | bool]
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_PLACE = re.compile(r"(.*) - at `\$\.?(.*)`$")


class RankRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which items, in which order, for this user now.

    Either `items` (1 to 1000 ids) or `candidates`: so many of our own choice. `context` is logged with the
    decision; `explore: false` keeps this list from being shown in an order by chance, `true` lets it where
    the settings do.
    """

    user_id: Id
    session_id: Id | None = None
    items: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=MOST_SHOWN)] | None = None
    candidates: Count | None = None
    query: Query | None = None
    context: Context | None = None
    explore: bool | None = None


Asked = TypeVar("Asked", bound=msgspec.Struct)
_rank = msgspec.json.Decoder(RankRequest).decode


def rank_request(body: bytes) -> RankRequest:
    """The request in a body. Raises RequestError 400 that names the field, and the nearest known one."""
    try:
        asked = _rank(body)
    except msgspec.MsgspecError as problem:
        raise RequestError(400, explained(str(problem), RankRequest)) from None
    except (UnicodeDecodeError, RecursionError) as problem:
        raise RequestError(400, f"the body is not JSON that can be read: {problem}") from None
    if (asked.items is None) == (asked.candidates is None):
        both = "not both" if asked.items is not None else "one of them"
        raise RequestError(400, f"give items (ids to be ranked) or candidates (how many of ours), {both}")
    return asked


def explained(problem: str, kind: type[msgspec.Struct]) -> str:
    """msgspec's sentence about a wrong object, with the field first and the nearest known one."""
    found = _PLACE.match(problem)
    sentence, place = (found.group(1), found.group(2)) if found else (problem, "")
    if unknown := _UNKNOWN.match(sentence):
        known = list(kind.__struct_fields__)
        name = f"{place}.{unknown.group(1)}" if place else unknown.group(1)
        return f"unknown field {name!r}{nearest(unknown.group(1), known)}; known: {', '.join(known)}"
    if sentence.startswith("Object missing required field"):
        return f"{sentence.removeprefix('Object missing required field ').strip('`')} is missing"
    if not place:
        return f"the body: {sentence[:1].lower()}{sentence[1:]}"
    return f"{place}: {sentence[:1].lower()}{sentence[1:]}"


def encoded(answer: Any) -> bytes:
    """An answer as JSON."""
    return msgspec.json.encode(answer)
