"""What makes a mapped record unfit for silver. A rule gives None, or the sentence that goes into
quarantine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from pipelines.domain import Domain
from pipelines.errors import SettingsError, nearest
from pipelines.mapping import event_time_ms
from pipelines.sections import Silver
from pipelines.silver.convert import LONGEST_SHOWN

LONGEST_ID = 512  # characters
MOST_SHOWN = 1000  # items of one decision
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_MS = 60_000


@dataclass(frozen=True)
class Limits:
    """What the settings allow: how old, how far ahead, how large. Milliseconds and bytes."""

    oldest_ms: int
    ahead_ms: int
    most_bytes: int

    @classmethod
    def of(cls, silver: Silver) -> Limits:
        """The limits of a section of settings. Raises SettingsError when the oldest time is none."""
        oldest = event_time_ms(silver.oldest_event_time, "iso8601")
        if oldest is None:
            given = silver.oldest_event_time
            raise SettingsError(f"silver.oldest_event_time must be a time as 2000-01-01, not {given!r}")
        return cls(oldest, silver.future_minutes * _MINUTE_MS, silver.max_value_bytes)


@dataclass
class Case:
    """A record before its judgement: the fields that could be read, the ones that could not, when it arrived,
    what is allowed."""

    arrived_at_ms: int | None
    limits: Limits
    fields: dict[str, Any] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)


Rule = Callable[[Case], str | None]


def moment(ms: int) -> str:
    """A time as reasons write it.

    >>> moment(0)
    '1970-01-01T00:00:00Z'
    """
    written = (_EPOCH + timedelta(milliseconds=ms)).isoformat(
        timespec="milliseconds" if ms % 1000 else "seconds"
    )
    return written.replace("+00:00", "Z")


def lacks(name: str, where: str = "") -> Rule:
    """The rule that a field must be there; `where` says for which records."""

    def rule(case: Case) -> str | None:
        if name in case.fields or name in case.unreadable:
            return None
        return f"{name} is {'empty' if name in case.empty else 'missing'}{where}"

    return rule


def is_too_long(name: str) -> Rule:
    """The rule that an id has at most LONGEST_ID characters."""

    def rule(case: Case) -> str | None:
        length = len(case.fields.get(name, ""))
        return f"{name} has {length} characters, more than {LONGEST_ID}" if length > LONGEST_ID else None

    return rule


def is_too_old(case: Case) -> str | None:
    """The event is older than any that the settings believe."""
    happened, oldest = case.fields.get("event_time"), case.limits.oldest_ms
    if happened is None or happened >= oldest:
        return None
    return f"event_time {moment(happened)} is before {moment(oldest)}, the oldest time that is believed"


def is_ahead_of_its_arrival(case: Case) -> str | None:
    """The event claims to have happened after it arrived."""
    happened, arrived = case.fields.get("event_time"), case.arrived_at_ms
    if happened is None or arrived is None or happened - arrived <= case.limits.ahead_ms:
        return None
    ahead = f"more than {case.limits.ahead_ms // _MINUTE_MS} minutes ahead"
    return f"event_time {moment(happened)} is {ahead} of the arrival at {moment(arrived)}"


def has_unknown_type(domain: Domain) -> Rule:
    """The rule that the domain knows the type of an interaction."""
    known = list(domain.event_types)

    @lru_cache(maxsize=1000)  # a wrong name comes again and again, and its nearest ones are slow to find
    def sentence(name: str) -> str:
        return f"event_type {name!r} is unknown{nearest(name, known)}; known: {', '.join(known)}"

    def rule(case: Case) -> str | None:
        name = case.fields.get("event_type")
        return None if name is None or name in domain.event_types else sentence(name[:LONGEST_SHOWN])

    return rule


def lacks_what_its_type_needs(event_type: str, name: str) -> Rule:
    """The rule that an interaction of a type carries a field."""
    must_be_there = lacks(name, f" on {'an' if event_type[0] in 'aeiou' else 'a'} {event_type}")

    def rule(case: Case) -> str | None:
        return must_be_there(case) if case.fields.get("event_type") == event_type else None

    return rule


def has_version_below_one(case: Case) -> str | None:
    """Versions of a schema count from 1; a higher one than any known is fine, for unknown fields are kept."""
    version = case.fields.get("schema_version", 1)
    return None if version >= 1 else f"schema_version is {version}, but versions count from 1"


def shows_nothing(case: Case) -> str | None:
    """A decision without an item."""
    return "items is empty: a decision shows at least one item" if case.fields.get("items") == [] else None


def shows_too_much(case: Case) -> str | None:
    """A decision with more items than a list can have."""
    shown = len(case.fields.get("items", ()))
    return f"items has {shown} ids, more than {MOST_SHOWN}" if shown > MOST_SHOWN else None


def has_unfit_item_id(case: Case) -> str | None:
    """An id in a decision's list that is empty or too long."""
    for position, item in enumerate(case.fields.get("items", ())):
        if not item:
            return f"items[{position}] is empty"
        if len(item) > LONGEST_ID:
            return f"items[{position}] has {len(item)} characters, more than {LONGEST_ID}"
    return None


def has_odd_propensity(case: Case) -> str | None:
    """A decision whose propensities are not one probability for each item."""
    given, shown = case.fields.get("propensity"), case.fields.get("items")
    if given is None or shown is None:
        return None
    if len(given) != len(shown):
        return f"propensity has {len(given)} numbers for {len(shown)} items"
    outside = next((p for p in given if not 0 <= p <= 1), None)
    return None if outside is None else f"propensity holds {outside!r}, which is no probability"
