"""The words that declarations share, and what every kind of feature must say. The kinds are in `kinds/`,
docs/reference/features.md has examples."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from pipelines.features.checks import Checker
    from pipelines.features.compiling import Compiler
    from pipelines.features.needs import Reading

SHOWN = "shown"
"""What happens to each item of a decision's list; counted like an event type."""
DECISION = "decision"
"""A decision itself, once for its user."""
ALL = "all"
ITEM = "item"
USER = "user"
SESSION = "session"
QUERY = "query"
WHOSE = (USER, SESSION, QUERY)
"""Whose an item or attribute value can be, as the first of a pair in `by`."""

SLOTS = 128
"""How many values (or items) a user's record keeps apart by default: those touched last. Of queries, how many
cells they share."""
VALUED = ("category", "tags")
"""Kinds of attributes with values that can be counted by."""
RANGES: dict[str, tuple[float, float]] = {
    "smooth": (0, 1e9),
    "rate": (0.001, 1),
    "slots": (1, 1024),
    "last": (1, 128),
    "fixed": (1, 1e6),
    "below": (1, 1e9),
    "place_power": (0, 4),
}
"""Key -> smallest and largest number that it takes."""

Aggregate = Literal["mean", "max", "min", "sum"]


class Declaration(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    omit_defaults=True,
):
    """What every kind of feature has: a name that no other feature of the domain has."""

    name: str

    def check(self, checker: Checker) -> None:
        """Raise DomainError for words that mean nothing in the domain. Event types, windows and numbers with
        a range have been checked before."""

    def reading(self, compiler: Compiler) -> Reading:
        """How the feature is read, and which numbers of the records it needs for that."""
        raise NotImplementedError


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
