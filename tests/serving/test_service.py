"""The service without HTTP, on a real store and a real broker."""

import asyncio
import dataclasses
import json
import time

import numpy as np
import pytest

from pipelines import settings as settings_module
from pipelines.contracts.decision_features import unpack
from pipelines.errors import RequestError
from pipelines.features.carriers import Request
from pipelines.io import kafka_admin
from pipelines.io.outbox import Outbox
from pipelines.serving.requests import RankRequest
from pipelines.silver.judge import Judge
from tests.serving import stage
from tests.serving.topics import read_topic

SHOWN = 20


@pytest.fixture(scope="module", params=["lmdb", "redis"])
def settings(request, kafka_broker, tmp_path_factory):
    state = tmp_path_factory.mktemp("served")
    kept = {"kind": request.param, "prefix": state.name}
    if request.param == "redis":
        kept["url"] = request.getfixturevalue("redis_url")
    overrides = {
        "paths": {"state": str(state)},
        "kafka": {"bootstrap": kafka_broker.bootstrap},
        "store": kept,
    }
    return settings_module.load(environ={}, overrides=overrides)


@pytest.fixture(scope="module")
def folded(settings):
    """The store, with the shop's whole past in it."""
    with stage.a_store(settings) as store:
        stage.fold(store, stage.past(), next_offset=0)
        yield store


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return stage.a_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def service(settings, folded, model):
    made = stage.a_service(settings)
    made.replace(made.build(model))
    yield made
    made.outside.outbox.close(5)
    made.outside.store.close()


def a_click(user, item, event_id, at):
    return {"event_id": event_id, "event_time": at, "event_type": "click", "user_id": user, "item_id": item}


def accept(service, *events):
    return asyncio.run(service.events(json.dumps(list(events)).encode()))


def test_items_come_in_the_order_of_their_scores(service, model):
    items = stage.item_ids()[:SHOWN]
    answer, decision = service.rank(RankRequest(user_id=stage.a_user(), items=items))
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 3
    assert sorted(item.item_id for item in answer.items) == sorted(items)
    assert answer.model_version == "shop-ranker/1"
    assert answer.degraded == []
    expected = model.ranker.booster.inplace_predict(decision.features, predict_type="margin")
    np.testing.assert_array_equal(np.array(scores, np.float32), expected)


def test_the_features_are_those_of_the_carrier(service, folded):
    items = stage.item_ids()[:SHOWN]
    _, decision = service.rank(RankRequest(user_id=stage.a_user(), items=items, query="red shoes"))
    carrier, request = stage.a_carrier(), Request(stage.a_user(), items, decision.as_of, "red shoes")
    found = carrier.read(request, folded.get_many(carrier.needed_for(request)))
    expected = dict(zip(items, stage.definitions().as_served(found), strict=True))
    for item, row in zip(decision.items, decision.features, strict=True):
        np.testing.assert_array_equal(row, expected[item], item)


def test_an_accepted_event_changes_the_very_next_list_and_counts_once(service, settings, folded):
    user, items = "somebody new", stage.item_ids()[:SHOWN]
    asked = RankRequest(user_id=user, items=items)
    first, before = service.rank(asked)
    assert first.degraded == ["unknown_user"]
    events = [a_click(user, items[3], f"rw{n}", before.as_of - 1000 * n) for n in range(2)]
    assert accept(service, *events).accepted == 2
    second, after = service.rank(asked)
    assert second.degraded == []
    place = after.items.index(items[3])
    named = stage.as_of_a_row(after.features, place)
    assert named["user_clicks_1h"] == pytest.approx(np.log1p(2))
    assert named["clicked_before"] == 2.0
    assert [i.score for i in first.items] != [i.score for i in second.items]
    # The same events again, as a client that heard nothing repeats them: they count once.
    accept(service, *events)
    _, again = service.rank(asked)
    assert stage.as_of_a_row(again.features, again.items.index(items[3]))["clicked_before"] == 2.0


def test_what_the_store_has_folded_is_let_go(service, folded):
    user, items = "somebody else", stage.item_ids()[:SHOWN]
    accept(service, a_click(user, items[0], "pf0", stage.now_ms()))
    on_top = service.rank(RankRequest(user_id=user, items=items))[1]
    taken = service.accepted.of(user)
    (one,) = service.accepted._users[user].taken
    with stage.a_store(service.settings) as store:
        carrier = stage.a_carrier()
        before = store.read(carrier.needed(taken))
        fence = {(one.topic, one.partition): one.offset + 1}
        store.write(carrier.advance(taken, before.records).records, fence, expected=before.fences)
    for _ in range(2):  # a store on a server tells its fences with the records
        from_store = service.rank(RankRequest(user_id=user, items=items))[1]
    assert not service.accepted.may_have(user)
    counts = [
        stage.definitions().names.index(name)
        for name in ("clicks_all", "clicked_before")
        if name in stage.definitions().names
    ]
    by_item = [dict(zip(d.items, d.features[:, counts].tolist(), strict=True)) for d in (on_top, from_store)]
    assert by_item[0] == by_item[1]


def test_own_decisions_are_part_of_the_users_past(service):
    asked = RankRequest(user_id="who looks twice", items=stage.item_ids()[:5])
    _, first = service.rank(asked)
    service.log(first)
    _, second = service.rank(asked)
    assert stage.as_of_a_row(second.features, 0)["seen_before"] == 1.0


def test_what_is_not_known_is_named_and_answered(service):
    answer, _ = service.rank(RankRequest(user_id="nobody", items=["no such item", stage.item_ids()[0]]))
    assert answer.degraded == ["unknown_user", "unknown_items"]
    assert len(answer.items) == 2


def test_without_a_store_everybody_is_new(settings, model, tmp_path):
    away = dataclasses.replace(
        settings, store=dataclasses.replace(settings.store, path=str(tmp_path / "none"), prefix="none")
    )
    service = stage.a_service(away)
    service.replace(service.build(model))
    asked = RankRequest(user_id=stage.a_user(), items=stage.item_ids()[:SHOWN])
    answer, _ = service.rank(asked)
    assert answer.degraded == ["store_unavailable"]
    accept(service, a_click(stage.a_user(), stage.item_ids()[0], "ns0", stage.now_ms()))
    answer, decision = service.rank(asked)
    assert answer.degraded == ["store_unavailable"]
    assert (
        stage.as_of_a_row(decision.features, decision.items.index(stage.item_ids()[0]))["clicked_before"] == 1
    )
    service.outside.outbox.close(5)


def test_without_a_model_nothing_is_ranked(settings):
    service = stage.a_service(settings)
    with pytest.raises(RequestError, match="no ranker has been promoted yet") as refused:
        service.rank(RankRequest(user_id="u", items=["a"]))
    assert (refused.value.status, refused.value.retry_after_s) == (503, 5)
    service.outside.outbox.close(5)


def test_candidates_are_what_the_user_met_and_what_is_popular(service):
    asyncio.run(service.refresh_popular(0))
    answer, _ = service.rank(RankRequest(user_id=stage.a_user(), candidates=30))
    assert len({item.item_id for item in answer.items}) == 30
    assert answer.degraded == []
    answer, _ = service.rank(RankRequest(user_id="nobody at all", candidates=1000))
    assert len(answer.items) == len(stage.item_ids())
    assert answer.degraded == ["fewer_candidates", "unknown_user"]


def test_a_list_by_chance_tells_its_chances(settings, model, folded):
    service = stage.a_service(settings, explore_share=0.5)
    service.replace(service.build(model))
    asked = RankRequest(user_id="u", items=stage.item_ids()[:5])
    made = [service.rank(asked)[1] for _ in range(40)]
    assert {decision.explored for decision in made} == {True, False}
    for decision in made:
        order = np.argsort(-decision.scores, kind="stable").tolist()
        assert decision.explored or order == list(range(5))
        assert set(np.round(decision.propensity, 6)) <= {0.1, 0.6}
    assert service.rank(RankRequest(user_id="u", items=["a", "b"], explore=False))[1].propensity is None
    service.outside.outbox.close(5)


def test_every_decision_is_logged_with_what_it_was_scored_by(service, settings):
    since = {t: kafka_admin.end_offsets(settings, t) for t in ("interactions", "decision_features")}
    asked = RankRequest(user_id=stage.a_user(), items=stage.item_ids()[:SHOWN], session_id="s1", query="lamp")
    _, decision = service.rank(asked)
    service.log(decision)
    service.outside.outbox.close(10)
    (slim,) = read_topic(settings, "interactions", since["interactions"])
    judged = Judge(stage.shop(), settings.silver).judge(slim.value(), decision.as_of)
    assert judged.reasons == ()
    assert slim.key() == stage.a_user().encode()
    assert (judged.fields["items"], judged.fields["session_id"]) == (decision.items, "s1")
    assert judged.fields["model_version"] == "shop-ranker/1"
    (full,) = read_topic(settings, "decision_features", since["decision_features"])
    assert full.key() == decision.decision_id.encode()
    kept = unpack(full.value())
    np.testing.assert_array_equal(kept.matrix(), decision.features)
    assert kept.items == decision.items
    assert kept.definitions_hash == stage.definitions().hash


def test_rejected_events_are_told_with_silvers_reasons(service):
    good = a_click("u", stage.item_ids()[0], "r1", stage.now_ms())
    bad = {"event_id": "r2", "event_time": stage.now_ms(), "event_type": "click"}
    item = {"record": "item", "item_id": "i", "valid_from": stage.now_ms()}
    answer = accept(service, good, bad, item)
    assert answer.accepted == 1
    assert [(r.index, r.reasons) for r in answer.rejected] == [
        (1, ["user_id is missing", "item_id is missing on a click"]),
        (2, ["an item is no event: it goes to the topic catalog"]),
    ]
    for body in (b"[", b"[]"):
        with pytest.raises(RequestError, match="the body"):
            asyncio.run(service.events(body))


def test_a_decision_is_explained_to_the_last_bit(service):
    _, decision = service.rank(RankRequest(user_id=stage.a_user(), items=stage.item_ids()[:SHOWN]))
    service.log(decision)
    told = service.explain(decision.decision_id)
    assert told["differing"] == []
    for item, score in zip(told["items"], decision.scores.tolist(), strict=True):
        total = item["starts_from"] + sum(feature["adds"] for feature in item["features"])
        assert item["score"] == item["replayed"] == score
        assert total == pytest.approx(score, abs=1e-5)
    with pytest.raises(RequestError, match="there is no decision nothing in the lake") as refused:
        service.explain("nothing")
    assert refused.value.status == 404


def test_a_users_state_is_shown(service):
    known = service.user(stage.a_user())
    assert known["is_known"]
    assert known["interactions"] > 0
    assert "user_clicks_1h" in known["features"]
    assert "price" not in known["features"]
    unknown = service.user("nobody")
    assert unknown["degraded"] == ["unknown_user"]
    json.dumps([known, unknown])


def test_decisions_wait_on_disk_while_kafka_is_away_and_are_delivered_after(settings, tmp_path):
    serving = dataclasses.replace(settings.serving, events_timeout_ms=500)
    away = dataclasses.replace(
        settings, kafka=dataclasses.replace(settings.kafka, bootstrap="127.0.0.1:9"), serving=serving
    )
    heard = []
    outbox = Outbox(away, tmp_path / "spool")
    outbox.decide(b"u", b"first", 1_000, lambda *told: heard.append(told))
    outbox.send("interactions", b"u", b"event", 1_000, lambda *told: heard.append(told))
    until = time.monotonic() + 15
    while outbox.counts()["spooled_decisions"] < 1 and time.monotonic() < until:
        time.sleep(0.05)
    began = time.monotonic()
    outbox.decide(b"u", b"second", 1_000, lambda *told: heard.append(told))
    outbox.feature_values(b"d", b"features", 1_000)
    assert time.monotonic() - began < 0.1
    assert outbox.counts()["spooled_decisions"] == 2
    assert outbox.counts()["features_shed"] == 1
    outbox.close(1)
    assert [(problem is None, offset) for problem, _, offset in heard] == [(False, -1)], (
        "the event was refused"
    )
    since = kafka_admin.end_offsets(settings, "interactions")
    back = Outbox(settings, tmp_path / "spool")
    while back.counts()["spooled_decisions"] and time.monotonic() < until + 15:
        time.sleep(0.05)
    back.close(5)
    assert [m.value() for m in read_topic(settings, "interactions", since)] == [b"first", b"second"]
    assert not (tmp_path / "spool").exists()
