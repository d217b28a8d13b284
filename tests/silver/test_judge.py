"""Every way in which a message can be wrong, and the sentence that says so."""

import json

import pytest

from pipelines import settings as settings_module
from pipelines.domain import load_domain, parse_domain
from pipelines.errors import DomainError, SettingsError
from pipelines.silver.judge import Judge
from pipelines.silver.reasons import OTHER, reason_class
from pipelines.silver.rules import Limits
from tests.builders import (
    NOW_MS,
    a_decision,
    a_purchase,
    an_event,
    an_item,
    as_bytes,
    with_attributes,
)

SETTINGS = settings_module.load(environ={})
JUDGE = Judge(load_domain("shop", SETTINGS), SETTINGS.silver)
MINUTE_MS = 60_000
NAN, INFINITE = float("nan"), float("inf")


def judged(record, arrived_at_ms=NOW_MS):
    return JUDGE.judge(as_bytes(record), arrived_at_ms)


def reasons(record, arrived_at_ms=NOW_MS):
    found = judged(record, arrived_at_ms)
    assert bool(found.reasons) != bool(found.kind), "a message is good or has reasons, never both"
    assert all(reason_class(reason) != OTHER for reason in found.reasons), found.reasons
    return list(found.reasons)


# What is good


def test_an_event_becomes_its_fields():
    assert judged(a_purchase(campaign="x", properties={"shelf": [1.0, 2]})).fields == {
        "event_id": "e1",
        "event_time": NOW_MS,
        "event_type": "purchase",
        "user_id": "u1",
        "session_id": "s1",
        "item_id": "i1",
        "price_minor": 1999,
        "currency": "EUR",
        "quantity": 1,
        "source": "web",
        "schema_version": 1,
        "properties": {"campaign": '"x"', "shelf": "[1.0, 2]"},
    }


def test_a_decision_becomes_its_fields():
    assert judged(a_decision(query="shoe", as_of=NOW_MS - 5)).fields == {
        "decision_id": "d1",
        "event_time": NOW_MS,
        "user_id": "u1",
        "items": ["i1", "i2", "i3"],
        "query": "shoe",
        "as_of": NOW_MS - 5,
        "source": "web",
        "schema_version": 1,
        "properties": None,
    }


def test_an_item_has_its_attributes_by_kind_and_keeps_undeclared_ones():
    assert judged(with_attributes(weight=3, brand=None)).fields == {
        "item_id": "i1",
        "valid_from": NOW_MS,
        "schema_version": 1,
        "numbers": {"price": 19.99},
        "categories": {"category": "shoes"},
        "texts": {"title": "Blue shoe"},
        "tags": {"tags": ["blue", "summer"]},
        "vectors": {"image": [0.5] * 16},
        "properties": {"weight": "3"},
    }


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"user_id": 42}, "user_id", "42"),
        ({"price_minor": "1999"}, "price_minor", 1999),
        ({"price_minor": 1999.0}, "price_minor", 1999),
        ({"event_time": str(NOW_MS)}, "event_time", NOW_MS),
        ({"schema_version": 7}, "schema_version", 7),
        ({"session_id": ""}, "session_id", None),
        ({"price_minor": 2**63 - 1}, "price_minor", 2**63 - 1),
        ({"quantity": -(2**31)}, "quantity", -(2**31)),
    ],
)
def test_what_means_the_same_is_taken(change, field, expected):
    assert judged(a_purchase(**change)).fields.get(field) == expected


def test_a_time_at_each_limit_is_good():
    ahead = SETTINGS.silver.future_minutes * MINUTE_MS
    assert judged(an_event(event_time=NOW_MS + ahead)).kind == "interaction"
    assert judged(an_event(event_time=Limits.of(SETTINGS.silver).oldest_ms)).kind == "interaction"
    assert judged(an_event(event_time=NOW_MS + ahead + 1), arrived_at_ms=None).kind == "interaction"


def test_an_item_may_be_announced_for_later():
    assert judged(an_item(valid_from=NOW_MS + 10_000 * MINUTE_MS)).kind == "item"


# What is no record


def test_a_null_is_named():
    assert reasons(None) == ["the value is null"]


def test_an_empty_value_is_named():
    assert reasons(b"") == ["the value is empty"]


def test_a_value_that_is_too_large_is_named_with_its_size_and_not_parsed():
    size = SETTINGS.silver.max_value_bytes
    assert reasons(b"\xff" * (size + 1)) == [f"the value has {size + 1} bytes, more than the allowed {size}"]


def test_bytes_that_are_no_text_are_named_with_their_position():
    assert reasons(b'{"event_id": "\xff"}') == ["not UTF-8: byte 0xff at position 14"]


def test_truncated_json_is_named_with_its_length():
    whole = as_bytes(an_event())
    assert reasons(whole[:40]) == ["truncated JSON: it ends after 40 bytes, inside of a value"]


def test_every_beginning_of_a_message_is_named_as_truncated():
    whole = as_bytes(an_event())
    for length in range(1, len(whole)):
        assert reasons(whole[:length])[0].startswith("truncated JSON")


def test_invalid_json_is_named_with_its_position():
    assert reasons(b'{"event_id" "e1"}') == ["not JSON: expected ':' (byte 12)"]


def test_half_of_a_surrogate_pair_is_named():
    assert reasons(b'{"event_id": "\\ud800"}') == ["not JSON: a text holds half of a surrogate pair"]


def test_endless_nesting_is_named():
    assert reasons(b'{"a":' * 100_000) == ["not JSON that can be read: lists and objects are nested too deep"]


@pytest.mark.parametrize(
    ("value", "what"),
    [(b"[1]", "a list"), (b'"x"', "a text"), (b"12", "a number"), (b" true", "a flag"), (b"null", "null")],
)
def test_json_that_is_no_object_is_named(value, what):
    assert reasons(value) == [f"the value is {what}, not a JSON object"]


@pytest.mark.parametrize(("number", "name"), [(NAN, "NaN"), (INFINITE, "infinite"), (-INFINITE, "infinite")])
def test_numbers_that_json_does_not_know_are_named_with_their_field(number, name):
    assert reasons(a_purchase(price_minor=number)) == [f"not JSON: price_minor is {name}"]
    assert reasons(an_event(extra={"a": [1, number]})) == [f"not JSON: extra.a[1] is {name}"]


def test_a_record_of_no_kind_is_named_with_what_would_tell():
    domain = load_domain("ranklens", SETTINGS)
    value = json.dumps({"event": "login", "id": "1"}).encode()
    assert Judge(domain, SETTINGS.silver).judge(value, NOW_MS).reasons == (
        "no kind of record of ranklens: event is the text 'login', not item or ranking or interaction",
    )


# What is missing


@pytest.mark.parametrize("field", ["event_id", "event_time", "event_type", "user_id"])
def test_a_missing_field_of_an_event_is_named(field):
    assert reasons(an_event(**{field: None})) == [f"{field} is missing"]


@pytest.mark.parametrize("field", ["decision_id", "event_time", "user_id", "items"])
def test_a_missing_field_of_a_decision_is_named(field):
    assert reasons(a_decision(**{field: None})) == [f"{field} is missing"]


@pytest.mark.parametrize("field", ["item_id", "valid_from"])
def test_a_missing_field_of_an_item_is_named(field):
    assert reasons(an_item(**{field: None})) == [f"{field} is missing"]


def test_a_null_field_is_a_missing_one():
    assert reasons(
        b'{"event_id": null, "event_time": 1767268800000, "event_type": "login", "user_id": "u"}'
    ) == ["event_id is missing"]


@pytest.mark.parametrize("field", ["price_minor", "currency", "quantity", "item_id"])
def test_what_a_purchase_needs_is_named(field):
    assert reasons(a_purchase(**{field: None})) == [f"{field} is missing on a purchase"]


def test_an_empty_id_is_named_as_empty():
    assert reasons(an_event(user_id="", item_id="")) == ["user_id is empty", "item_id is empty on a view"]


# What is of a wrong kind


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (an_event(user_id=True), "user_id is the flag true, but should be a text"),
        (an_event(user_id=1.5), "user_id is the number 1.5, but should be a text"),
        (an_event(session_id=["s"]), "session_id is a list, but should be a text"),
        (an_event(query={"q": 1}), "query is an object, but should be a text"),
        (a_purchase(price_minor="19.99"), "price_minor is the text '19.99', but should be a whole number"),
        (a_purchase(price_minor=19.99), "price_minor is the number 19.99, but should be a whole number"),
        (a_purchase(quantity=False), "quantity is the flag false, but should be a whole number"),
        (an_event(schema_version="two"), "schema_version is the text 'two', but should be a whole number"),
        (a_decision(items="i1"), "items is the text 'i1', but should be a list of texts"),
        (a_decision(items=["i1", None]), "items[1] is null, but should be a text"),
        (an_event(event_time="soon"), "event_time is the text 'soon', but should be milliseconds since 1970"),
        (an_event(event_time=[NOW_MS]), "event_time is a list, but should be milliseconds since 1970"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_value_of_a_wrong_kind_is_named_with_what_it_should_be(record, reason):
    assert reasons(record) == [reason]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"price_minor": 2**63}, "price_minor is the number 9223372036854775808, more than 64 bits hold"),
        (
            {"price_minor": -(2**63) - 1},
            "price_minor is the number -9223372036854775809, more than 64 bits hold",
        ),
        ({"quantity": 2**31}, "quantity is the number 2147483648, more than 32 bits hold"),
        ({"schema_version": 2**31}, "schema_version is the number 2147483648, more than 32 bits hold"),
    ],
)
def test_a_number_of_too_many_bits_is_named(change, reason):
    assert reasons(a_purchase(**change)) == [reason]


@pytest.mark.parametrize("digits", ["1e999", "9" * 5000])
def test_a_number_that_nothing_holds_is_named(digits):
    value = as_bytes(a_purchase()).replace(b"1999", digits.encode())
    assert reasons(value) == ["price_minor is infinite, but should be a whole number"]


def test_a_number_that_nothing_holds_is_kept_where_no_mapping_reads_it():
    value = as_bytes(an_event(weight=7)).replace(b"7}", b"1e999}")
    assert judged(value).fields["properties"] == {"weight": "1e999"}


def test_a_version_below_one_is_named():
    assert reasons(an_event(schema_version=0)) == ["schema_version is 0, but versions count from 1"]


# What cannot be true


def test_an_event_before_the_oldest_time_is_named():
    assert reasons(an_event(event_time=0)) == [
        "event_time 1970-01-01T00:00:00Z is before 2000-01-01T00:00:00Z, the oldest time that is believed"
    ]


def test_an_event_after_its_arrival_is_named():
    ahead = NOW_MS + SETTINGS.silver.future_minutes * MINUTE_MS + 1
    far = "more than 5 minutes ahead of the arrival at 2026-01-01T12:00:00Z"
    assert reasons(an_event(event_time=ahead)) == [f"event_time 2026-01-01T12:05:00.001Z is {far}"]


def test_a_time_beyond_the_calendar_is_named():
    assert reasons(an_event(event_time=10**17)) == [
        "event_time is the number 100000000000000000, which lies outside of the years 1 to 9999"
    ]


def test_an_unknown_event_type_is_named_with_the_nearest():
    known = "search, view, click, cart, purchase, login, login_failed"
    assert reasons(an_event(event_type="clik")) == [
        f"event_type 'clik' is unknown; did you mean 'click'?; known: {known}"
    ]


def test_an_id_that_is_too_long_is_named():
    assert reasons(an_event(event_id="x" * 513)) == ["event_id has 513 characters, more than 512"]
    assert judged(an_event(event_id="x" * 512)).kind == "interaction"


def test_an_empty_list_is_named():
    assert reasons(a_decision(items=[])) == ["items is empty: a decision shows at least one item"]


def test_a_list_that_is_too_long_is_named():
    assert reasons(a_decision(items=["i"] * 1001)) == ["items has 1001 ids, more than 1000"]


def test_an_unfit_id_in_a_list_is_named():
    assert reasons(a_decision(items=["i1", ""])) == ["items[1] is empty"]
    assert reasons(a_decision(items=["x" * 513])) == ["items[0] has 513 characters, more than 512"]


EXPLORING = """
name: small
records:
  - kind: decision
    fields: {decision_id: id, event_time: at, user_id: user, items: shown, propensity: p, explored: tried}
    when: {type: decision}
  - kind: interaction
    fields: {event_id: id, event_time: at, event_type: type, user_id: user}
attributes: {}
event_types: {view: {}}
outcomes: {window_minutes: 5, gains: {view: 1}}
features: []
"""


@pytest.mark.parametrize(
    ("propensity", "reason"),
    [
        ([0.5], "propensity has 1 numbers for 2 items"),
        ([0.5, 1.5], "propensity holds 1.5, which is no probability"),
        ([0.5, "x"], "propensity[1] is the text 'x', but should be a number"),
        (0.5, "propensity is the number 0.5, but should be a list of numbers"),
    ],
)
def test_propensities_are_one_probability_for_each_item(propensity, reason):
    judge = Judge(parse_domain(EXPLORING, "small.yml"), SETTINGS.silver)
    record = {"type": "decision", "id": "d", "at": NOW_MS, "user": "u", "shown": ["a", "b"], "tried": True}
    good = judge.judge(as_bytes(record | {"p": [0.5, 1]}), NOW_MS)
    assert (good.fields["propensity"], good.fields["explored"]) == ([0.5, 1.0], True)
    found = judge.judge(as_bytes(record | {"p": propensity}), NOW_MS).reasons
    assert found == (reason,)
    assert reason_class(found[0]) != OTHER


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"price": "cheap"}, "attributes.price is the text 'cheap', but should be a number"),
        ({"title": ["a"]}, "attributes.title is a list, but should be a text"),
        ({"category": {"id": 1}}, "attributes.category is an object, but should be a text"),
        ({"tags": "blue"}, "attributes.tags is the text 'blue', but should be a list of texts"),
        ({"tags": ["a", 1.5]}, "attributes.tags[1] is the number 1.5, but should be a text"),
        ({"image": [0.5] * 15}, "attributes.image has 15 numbers, but should have 16"),
        ({"image": [None] * 16}, "attributes.image[0] is null, but should be a number"),
        ({"image": [1e39] * 16}, "attributes.image[0] is the number 1e+39, more than a 32-bit float holds"),
        ({"price": 10**400}, None),
    ],
)
def test_attributes_are_of_their_kind(change, reason):
    found = reasons(with_attributes(**change))
    assert found == [reason] if reason else found[0].startswith("attributes.price is the number 1000")


def test_attributes_that_are_no_object_are_named():
    assert reasons(an_item(attributes=["title"])) == ["attributes is a list, but should be an object"]


def test_a_list_of_attributes_needs_names():
    judge = Judge(load_domain("ranklens", SETTINGS), SETTINGS.silver)
    record = {"event": "item", "id": "1", "item": "7", "timestamp": NOW_MS, "fields": [{"value": 1}]}
    assert judge.judge(as_bytes(record), NOW_MS).reasons == ("fields is not a list of objects with a name",)


def test_all_reasons_are_given_at_once():
    wrong = a_purchase(user_id="", price_minor="x", quantity=None, event_type="purchase", event_time=0)
    assert reasons(wrong) == [
        "price_minor is the text 'x', but should be a whole number",
        "user_id is empty",
        "event_time 1970-01-01T00:00:00Z is before 2000-01-01T00:00:00Z, the oldest time that is believed",
        "quantity is missing on a purchase",
    ]


# What a domain or a setting gets wrong


def test_a_constant_of_a_wrong_kind_is_an_error_of_the_domain():
    text = EXPLORING.replace("when: {type: decision}", "when: {type: decision}\n    constants: {as_of: soon}")
    with pytest.raises(
        DomainError, match=r"small.yml:7: records\[0\].constants.as_of: as_of is the text 'soon'"
    ):
        Judge(parse_domain(text, "small.yml"), SETTINGS.silver)


def test_an_oldest_time_that_is_none_is_an_error_of_the_settings():
    wrong = settings_module.load(environ={}, overrides={"silver": {"oldest_event_time": "long ago"}})
    with pytest.raises(SettingsError, match=r"silver.oldest_event_time must be a time .* not 'long ago'"):
        Limits.of(wrong.silver)
