"""Classes of reasons, so that quarantined rows can be counted although each reason names its own values."""

from __future__ import annotations

import re

_CLASSES = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("duplicate", r"duplicate of "),
        ("null", r"the value is null$"),
        ("empty", r"the value is empty$"),
        ("too large", r"the value has \d+ bytes"),
        ("not an object", r"the value is "),
        ("not UTF-8", r"not UTF-8"),
        ("truncated", r"truncated JSON"),
        ("not a number", r"not JSON: .* is (NaN|infinite)|.* is (NaN|infinite), but should be "),
        ("not JSON", r"not JSON"),
        ("unknown kind", r"no kind of record of "),
        ("unknown event type", r"event_type .* is unknown"),
        ("missing", r"\S+ is (missing|empty)"),
        ("overflow", r".*, more than a? ?\d+.bits? .*hold"),
        ("wrong type", r".*, but should (be|have) |\S+ is not a list of objects"),
        ("wrong time", r"\S+ .*(is before|is more than|which lies outside)"),
        ("too long", r"\S+ has \d+ (characters|ids), more than"),
        ("wrong value", r"schema_version is -?\d+, but|propensity (has|holds) "),
    )
)
OTHER = "other"


def reason_class(reason: str) -> str:
    """The class of a reason, such as `missing` or `duplicate`.

    >>> reason_class("price_minor is missing on a purchase")
    'missing'
    """
    return next((name for name, pattern in _CLASSES if pattern.match(reason)), OTHER)
