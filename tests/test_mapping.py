"""Paths into records, kinds of records and times, as the shipped domains use them."""

import math

import msgspec
import pytest

from pipelines.domain import Record, load_domain
from pipelines.errors import DomainError
from pipelines.mapping import Router, compile_path, event_time_ms
from pipelines.settings import load


@pytest.mark.parametrize(
    ("path", "record", "found"),
    [
        ("a", {"a": 1}, 1),
        ("a", {}, None),
        ("a.b", {"a": {"b": None}}, None),
        ("a.b.c", {"a": {"b": {"c": [1]}}}, [1]),
        ("a.b", {"a": "text"}, None),
        ("items[]", {"items": ["x", "y"]}, ["x", "y"]),
        ("items[]", {"items": "x"}, None),
        ("items[].id", {"items": [{"id": "x"}, {"id": 2}]}, ["x", 2]),
        ("items[].id", {"items": [{"id": "x"}, {}, "y"]}, ["x", None, None]),
        ("items[].id", {"items": {"id": "x"}}, None),
        ("page.items[].ref.id", {"page": {"items": [{"ref": {"id": 3}}]}}, [3]),
        ("lists[].items[].id", {"lists": [{"items": [{"id": 1}]}, {"items": []}]}, [[1], []]),
    ],
)
def test_a_path_gives_the_value_or_none(path, record, found):
    assert compile_path(path)(record) == found


@pytest.mark.parametrize("path", ["", "a..b", ".a", "a.", "a[0]", "a[]b", "[]", "a[].", "a]"])
def test_a_path_with_an_empty_or_strange_step_is_refused(path):
    with pytest.raises(DomainError, match="is no path"):
        compile_path(path)


def test_the_first_record_whose_condition_holds_is_taken():
    shop = Router(load_domain("shop", load()))
    assert shop.route({"event_type": "decision"}).kind == "decision"
    assert shop.route({"record": "item", "item_id": "i1"}).kind == "item"
    assert shop.route({"event_type": "click"}).kind == "interaction"
    assert shop.index({}) == 2


def test_a_record_that_matches_nothing_has_no_kind():
    movies = Router(load_domain("ranklens", load()))
    assert movies.route({"event": "user", "user": "7"}) is None
    assert movies.index({"event": "ranking"}) == 1


@pytest.mark.parametrize(
    ("value", "matches"), [(3, True), ("3", True), (3.5, False), (True, False), (None, False)]
)
def test_a_number_is_compared_as_the_file_spells_it(value, matches):
    shop = load_domain("shop", load())
    coded = Record(kind="interaction", fields=shop.records[2].fields, when={"type.code": "3"})
    router = Router(msgspec.structs.replace(shop, records=(coded,)))
    assert (router.index({"type": {"code": value}}) == 0) is matches


@pytest.mark.parametrize(
    ("value", "unit", "ms"),
    [
        (1636907100000, "ms", 1636907100000),
        ("1636907100000", "ms", 1636907100000),
        (1636907100000.4, "ms", 1636907100000),
        ("-5", "ms", -5),
        (1636907100, "s", 1636907100000),
        ("1636907100.25", "s", 1636907100250),
        (1636907100.25, "s", 1636907100250),
        ("2021-11-14T16:25:00Z", "iso8601", 1636907100000),
        ("2021-11-14T17:25:00.123+01:00", "iso8601", 1636907100123),
        ("2021-11-14 16:25:00", "iso8601", 1636907100000),
        ("2021-11-14T16:25:00Z", "ms", None),
        (1636907100000, "iso8601", None),
        (True, "ms", None),
        (None, "ms", None),
        ([1], "ms", None),
        (math.nan, "ms", None),
        (math.inf, "s", None),
        (10**30, "ms", None),
        ("9" * 30, "ms", None),
        ("1e12", "ms", None),
        ("1_000", "ms", None),
        ("²", "ms", None),
        ("", "ms", None),
        ("soon", "iso8601", None),
    ],
)
def test_a_time_is_milliseconds_or_nothing(value, unit, ms):
    assert event_time_ms(value, unit) == ms
