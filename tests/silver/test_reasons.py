"""Classes by which quarantined rows are counted."""

import pytest

from pipelines.silver.reasons import OTHER, reason_class


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("duplicate of event_id e1", "duplicate"),
        ("the value is null", "null"),
        ("the value is empty", "empty"),
        ("the value has 99 bytes, more than the allowed 10", "too large"),
        ("the value is null, not a JSON object", "not an object"),
        ("not JSON: price_minor is NaN", "not a number"),
        ("not JSON: invalid character (byte 0)", "not JSON"),
        ("user_id is empty", "missing"),
        ("quantity is the number 2147483648, more than 32 bits hold", "overflow"),
        ("event_id has 513 characters, more than 512", "too long"),
        ("something new", OTHER),
    ],
)
def test_a_reason_has_a_class_whatever_values_it_names(reason, name):
    assert reason_class(reason) == name
