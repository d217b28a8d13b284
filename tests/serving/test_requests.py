"""Requests: strict, and a wrong one is told by its field."""

import json

import msgspec
import pytest

from pipelines.contracts.answers import RankAnswer, RankedItem
from pipelines.errors import RequestError
from pipelines.serving import openapi
from pipelines.serving.requests import encoded, rank_request


def test_a_request_for_items_is_read():
    asked = rank_request(
        b'{"user_id": "u1", "items": ["a", "b"], "query": "shoes", "context": {"source": "web"}}'
    )
    assert (asked.user_id, asked.items, asked.query, asked.context) == (
        "u1",
        ["a", "b"],
        "shoes",
        {"source": "web"},
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body: input data was truncated"),
        (b"{", "the body: input data was truncated"),
        (b"[1]", "the body: expected `object`, got `array`"),
        (b'{"items": ["a"]}', "user_id is missing"),
        (b'{"user_id": 7, "items": ["a"]}', "user_id: expected `str`, got `int`"),
        (b'{"user_id": "", "items": ["a"]}', "user_id: expected `str` of length >= 1"),
        (b'{"user_id": "u", "items": []}', "items: expected `array` of length >= 1"),
        (b'{"user_id": "u", "items": ["a", 3]}', "items[1]: expected `str`, got `int`"),
        (b'{"user_id": "u", "item": ["a"]}', "unknown field 'item'; did you mean 'items'"),
        (b'{"user_id": "u", "candidates": 0}', "candidates: expected `int` >= 1"),
        (b'{"user_id": "u"}', "give items (ids to be ranked) or candidates (how many of ours), one of them"),
        (b'{"user_id": "u", "items": ["a"], "candidates": 3}', "candidates (how many of ours), not both"),
        (b'{"user_id": "u", "items": ["a"], "context": {"a": []}}', "context[...]: expected"),
        (b'{"user_id": "\xff", "items": ["a"]}', "the body"),
    ],
)
def test_a_wrong_request_is_told_by_its_field(body, message):
    with pytest.raises(RequestError) as refused:
        rank_request(body)
    assert message in str(refused.value)
    assert refused.value.status == 400


def test_more_than_a_thousand_items_are_refused():
    body = json.dumps({"user_id": "u", "items": [str(n) for n in range(1001)]}).encode()
    with pytest.raises(RequestError, match=r"items: expected `array` of length <= 1000"):
        rank_request(body)


def test_an_answer_says_that_it_is_degraded_only_when_it_is():
    answer = RankAnswer("d", "shop-ranker/3", [RankedItem("a", 0.5)])
    assert json.loads(encoded(answer)) == {
        "decision_id": "d",
        "model_version": "shop-ranker/3",
        "items": [{"item_id": "a", "score": 0.5}],
    }


def test_the_description_names_every_type_it_refers_to():
    text = msgspec.json.encode(openapi.document()).decode()
    schemas = openapi.document()["components"]["schemas"]
    for part in text.split('"$ref":"#/components/schemas/')[1:]:
        assert part.split('"')[0] in schemas
    assert {"/rank", "/events", "/health", "/metrics", "/admin/rollback"} <= openapi.document()[
        "paths"
    ].keys()
    assert "RankRequest" in openapi.page()
