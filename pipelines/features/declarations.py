"""What a domain file can declare in `features:`, kind by kind. docs/reference/features.md has examples."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

SHOWN = "shown"
"""What happens to each item of a decision's list; counted like an event type."""
DECISION = "decision"
"""A decision itself, once for its user."""
ALL = "all"
ITEM = "item"
USER = "user"

SLOTS = 128
"""How many values (or items) a user's record keeps apart by default: those touched last."""
VALUED = ("category", "tags")
"""Kinds of attributes with values that can be counted by."""
RANGES: dict[str, tuple[float, float]] = {
    "smooth": (0, 1e9),
    "rate": (0.001, 1),
    "slots": (1, 1024),
    "last": (1, 128),
    "fixed": (1, 1e6),
}
"""Key -> smallest and largest number that it takes."""

Aggregate = Literal["mean", "max", "min", "sum"]


class Declaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What every kind of feature has: a name that no other feature of the domain has."""

    name: str


class Attribute(Declaration, frozen=True, tag="attribute"):
    """The candidate's number attribute, or its logarithm log(1 + x)."""

    of: str
    log: bool = False


class Count(Declaration, frozen=True, tag="count"):
    """How often `of` happened in the window to what `by` names, or log(1 + that)."""

    of: tuple[str, ...]
    by: tuple[str, ...]
    window: str = ALL
    aggregate: Aggregate = "mean"
    log: bool = False
    slots: int = SLOTS


class Rate(Declaration, frozen=True, tag="rate"):
    """`of` per `per` in the window, smoothed by `smooth` imagined `per` at the rate of everything so far."""

    of: tuple[str, ...]
    by: tuple[str, ...]
    per: tuple[str, ...] = (SHOWN,)
    window: str = ALL
    smooth: float = 10.0
    aggregate: Aggregate = "mean"
    slots: int = SLOTS


class Preference(Declaration, frozen=True, tag="preference"):
    """How much more often than expected the user does `of` per `per` with items of the candidate's attribute
    values."""

    of: tuple[str, ...]
    by: str
    per: tuple[str, ...] = (SHOWN,)
    smooth: float = 3.0
    aggregate: Aggregate = "mean"
    slots: int = SLOTS


class Learned(Declaration, frozen=True, tag="learned"):
    """The user's value Q of the candidate's attribute values: Q += a (R - Q) with the domain's rewards R, a =
    max(1/n, rate)."""

    of: tuple[str, ...]
    by: str
    rate: float = 0.1
    aggregate: Aggregate = "mean"
    slots: int = SLOTS


class Recency(Declaration, frozen=True, tag="recency"):
    """log(1 + seconds) since `of` last happened to what `by` names."""

    of: tuple[str, ...]
    by: tuple[str, ...]
    aggregate: Aggregate = "min"
    slots: int = SLOTS


class Similarity(Declaration, frozen=True, tag="similarity"):
    """Jaccard overlap of the candidate's attribute values with those of the user's `last` items with `of`."""

    of: tuple[str, ...]
    attribute: str
    last: int = 16
    aggregate: Aggregate = "mean"


class Taste(Declaration, frozen=True, tag="taste"):
    """The candidate's number attribute against the mean over the user's items with `of`, shrunk to that over
    `per`."""

    of: tuple[str, ...]
    attribute: str
    per: tuple[str, ...] = (SHOWN,)
    smooth: float = 3.0
    log: bool = False
    measure: Literal["distance", "difference", "lean"] = "distance"


class Position(Declaration, frozen=True, tag="position"):
    """The place in the shown list, from 1, when a model learns; `fixed` whenever it ranks."""

    fixed: float = 1.0


class Time(Declaration, frozen=True, tag="time"):
    """Where in its cycle the moment of the decision is, in UTC, as a point of a circle."""

    cycle: Literal["day", "week"]
    wave: Literal["sin", "cos"]


class Context(Declaration, frozen=True, tag="context"):
    """Another feature `of` the candidate against the same feature of the whole list."""

    of: str
    measure: Literal["mean", "std", "zscore", "rank", "difference"] = "zscore"


class VectorSimilarity(Declaration, frozen=True, tag="vector_similarity"):
    """Cosine of the candidate's vector with those of the user's `last` items with `of`: with their mean, or
    the largest with one of them."""

    space: Literal["text", "behaviour", "image"]
    of: tuple[str, ...]
    last: int = 16
    aggregate: Literal["mean", "max"] = "mean"


class Covisited(Declaration, frozen=True, tag="covisited"):
    """How much more, or less, the candidate is wanted by users who did `of` with the user's `last` items with
    `of`."""

    of: tuple[str, ...]
    last: int = 16
    aggregate: Literal["sum", "max"] = "sum"


class QueryMatch(Declaration, frozen=True, tag="query_match"):
    """How well the candidate's texts answer the query of the decision."""

    measure: Literal["bm25", "cosine"] = "bm25"


class HasVector(Declaration, frozen=True, tag="has_vector"):
    """1 for a candidate that has a vector in the space, otherwise 0."""

    space: Literal["text", "behaviour", "image"]


KINDS: dict[str, type[Declaration]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        Attribute,
        Count,
        Rate,
        Preference,
        Learned,
        Recency,
        Similarity,
        Taste,
        Position,
        Time,
        Context,
        VectorSimilarity,
        Covisited,
        QueryMatch,
        HasVector,
    )
}
WINDOW_UNITS = {"min": 60_000, "h": 3_600_000, "d": 86_400_000}
BUCKETS = ((2 * 3_600_000, 300_000), (2 * 86_400_000, 3_600_000), (90 * 86_400_000, 86_400_000))
"""(longest window, length of its buckets) in ms."""


def window_ms(window: str) -> int:
    """Length of a window such as 5min, 1h or 30d in ms; 0 for `all`. Raises ValueError with the reason for
    any other text."""
    if window == ALL:
        return 0
    match = re.fullmatch(r"(\d{1,6})(min|h|d)", window)
    if not match:
        raise ValueError(
            f"'{window}' is no window: write a number and min, h or d, such as 5min, 1h, 30d, or all"
        )
    length = int(match[1]) * WINDOW_UNITS[match[2]]
    if not BUCKETS[0][1] <= length <= BUCKETS[-1][0]:
        raise ValueError(f"a window of {window} is outside 5min to 90d; use all for everything so far")
    if length % bucket_ms(length):
        raise ValueError(
            f"a window of {window} is no multiple of its buckets of {bucket_ms(length) // 60_000} min"
        )
    return length


def bucket_ms(length: int) -> int:
    """Length of the buckets in which a window of that many ms is counted; 0 for a window without end."""
    return next(bucket for longest, bucket in BUCKETS if length <= longest) if length else 0
