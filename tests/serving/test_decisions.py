"""A decision as it is logged is one that silver takes, whatever the shop calls its fields."""

import json

import msgspec
import numpy as np
import pytest

from pipelines import settings as settings_module
from pipelines.contracts.decision_features import unpack
from pipelines.domain import load_domain, parse_domain
from pipelines.errors import DomainError
from pipelines.serving.decisions import Decision, DecisionWriter, feature_message
from pipelines.serving.exploring import explored
from pipelines.silver.judge import Judge

SETTINGS = settings_module.load(environ={})
NOW = 1_767_225_600_123


def a_decision(**changes):
    given = {
        "decision_id": "d1",
        "user_id": "u1",
        "as_of": NOW,
        "items": ["b", "a"],
        "scores": np.array([0.5, 0.25], np.float32),
        "features": np.array([[1, np.nan], [3, 4]], np.float32),
        "model_name": "shop-ranker",
        "model_version": "3",
        "definitions_hash": "abc",
        "fences": {("interactions", 2): 17},
        "query": "red shoes",
        "context": {"source": "web", "page": 2},
        "propensity": [0.75, 0.75],
    }
    return Decision(**given | changes)


@pytest.mark.parametrize("name", ["shop", "ranklens"])
def test_silver_reads_a_logged_decision_back(name):
    domain = load_domain(name, SETTINGS)
    judged = Judge(domain, SETTINGS.silver).judge(DecisionWriter(domain).record(a_decision()), NOW)
    assert judged.reasons == ()
    assert judged.kind == "decision"
    for field, value in {"decision_id": "d1", "user_id": "u1", "items": ["b", "a"]}.items():
        assert judged.fields[field] == value
    assert abs(judged.fields["event_time"] - NOW) < 1000


def test_the_shop_keeps_everything_of_a_decision():
    domain = load_domain("shop", SETTINGS)
    fields = Judge(domain, SETTINGS.silver).judge(DecisionWriter(domain).record(a_decision()), NOW).fields
    assert fields["model_version"] == "shop-ranker/3"
    assert (fields["as_of"], fields["query"], fields["source"]) == (NOW, "red shoes", "web")
    assert (fields["propensity"], fields["explored"]) == ([0.75, 0.75], False)
    assert fields["properties"] == {"page": "2"}


def test_a_context_that_is_named_like_a_time_is_logged_as_it_is():
    shop = load_domain("shop", SETTINGS)
    in_seconds = msgspec.structs.replace(shop, time_unit="s")
    context = {"valid_from": "yesterday", "page": 2}
    record = json.loads(DecisionWriter(in_seconds).record(a_decision(context=context)))
    assert record["properties"] == context
    assert (record["event_time"], record["as_of"]) == (NOW / 1000, NOW / 1000)


def test_a_shop_without_decisions_cannot_be_served():
    text = """
name: bare
records: [{kind: interaction, fields: {event_id: id, event_time: t, event_type: type, user_id: user}}]
attributes: {}
event_types: {click: {}}
outcomes: {window_minutes: 30, gains: {click: 1}}
features: [{name: clicks, kind: count, of: click, by: item}]
"""
    with pytest.raises(DomainError, match="no record is of kind decision"):
        DecisionWriter(parse_domain(text, "bare.yml"))


def test_the_features_come_back_bit_for_bit():
    decision = a_decision()
    read = unpack(feature_message(decision))
    np.testing.assert_array_equal(read.matrix(), decision.features)
    np.testing.assert_array_equal(np.frombuffer(read.scores, np.float32), decision.scores)
    assert (read.items, read.model_version, read.fences) == (["b", "a"], "3", [("interactions", 2, 17)])
    with pytest.raises(msgspec.MsgspecError):
        unpack(b"nothing of the kind")


def test_chances_of_places_are_those_of_many_lists():
    share, count, lists = 0.3, 3, 20_000
    found = np.zeros((count, count))
    told = np.zeros((count, count))
    for number in range(lists):
        made = explored(count, share, f"d{number}")
        for place, item in enumerate(made.order):
            found[item, place] += 1 / lists
            told[item, place] = made.propensity[place]
    np.testing.assert_allclose(found, told, atol=0.01)
    assert explored(3, 0.3, "d7") == explored(3, 0.3, "d7")
    assert explored(3, 0.0, "d7").order == [0, 1, 2]
