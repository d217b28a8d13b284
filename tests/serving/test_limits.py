"""What the service does when it is asked for too much, and when Kafka goes away under it."""

import asyncio
import dataclasses
import json
import time

import pytest

from pipelines.cli._load import Plan, measure
from pipelines.models.registry import Registry
from tests.fixtures_stack import Broker, running, stack_settings
from tests.serving import stage
from tests.serving.served import Served, installation, register, renamed
from tests.serving.topics import read_topic

FEW_A_SECOND = 5
MODEL = "limited-ranker"


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A broker that may be killed."""
    with running(Broker(stack_settings(tmp_path_factory.mktemp("mortal")))) as own:
        yield own


@pytest.fixture(scope="module")
def settings(broker, mlflow_server, tmp_path_factory):
    settings = installation(tmp_path_factory.mktemp("limits"), broker, mlflow_server, events_timeout_ms=1_000)
    version = register(settings, settings.state / "package", MODEL, 0)
    Registry(settings.tracking_uri).promote(MODEL, version)
    return settings


def started(settings, log, **serving):
    """A service that is ready."""
    kept = dataclasses.replace(settings, serving=dataclasses.replace(settings.serving, **serving))
    service = Served(kept, log, domain=renamed(log.parent, "limited"))
    service.await_(lambda: service.ask("GET", "/ready", token=None)[0] == 200)
    return service


@pytest.fixture(scope="module")
def served(settings, tmp_path_factory):
    service = started(settings, tmp_path_factory.mktemp("log") / "log", max_waiting=8)
    yield service
    service.stop()


def rank(service, user="u", **headers):
    """(status, headers, answer) of a ranking."""
    body = {"user_id": user, "items": stage.item_ids()[:10]}
    return service.ask("POST", "/rank", body, token=None, headers=headers)


def test_a_client_that_asks_too_often_is_told_when_to_ask_again(settings, tmp_path):
    service = started(settings, tmp_path / "log", rate_per_client=FEW_A_SECOND)
    try:
        answers = [rank(service) for _ in range(6 * FEW_A_SECOND)]
        refused = [(headers, answer) for status, headers, answer in answers if status == 429]
        assert {status for status, _, _ in answers} == {200, 429}
        assert all(int(headers["retry-after"]) >= 1 for headers, _ in refused)
        assert "5 requests a second" in refused[0][1]["error"]
        assert service.ask("GET", "/health", token=None)[0] == 200
    finally:
        service.stop()


def test_too_many_requests_are_refused_at_once_and_the_others_answered(served):
    plan = Plan(4_000, 2, 64, stage.item_ids(), size=50, users=50, budget_s=2)
    found = asyncio.run(measure(f"http://127.0.0.1:{served.port}", "", plan))
    assert found["unanswered"] == 0
    assert set(found["answers"]) == {"200", "503"}
    assert sum(found["answers"].values()) + found["given_up"] == found["sent"]
    assert rank(served)[0] == 200
    text = served.ask("GET", "/metrics", token=None)[2]
    shed = [line for line in text.splitlines() if line.startswith("lakepulse_shed_total{")]
    assert sum(float(line.split()[-1]) for line in shed) == found["answers"]["503"]


def test_who_cannot_wait_as_long_as_the_others_is_refused_instead_of_answered_late(served):
    status, headers, answer = rank(served, **{"x-budget-ms": "0"})
    assert (status, headers["retry-after"]) == (503, "1")
    assert answer["error"] == "the answer would take longer than 0 ms"
    assert [rank(served, **{"x-budget-ms": said})[0] for said in ("400", "99999", "soon")] == [200] * 3


def test_a_broker_that_dies_stops_no_answer_and_costs_no_decision(served, settings, broker):
    event = {"event_id": "k1", "event_time": int(time.time() * 1000), "event_type": "click", "user_id": "u"}
    event["item_id"] = stage.item_ids()[0]
    assert served.ask("POST", "/events", event, token=None)[0] == 202
    broker.kill()
    made = [rank(served, f"a user {number}") for number in range(50)]
    assert {status for status, _, _ in made} == {200}
    status, headers, answer = served.ask("POST", "/events", event | {"event_id": "k2"}, token=None)
    assert (status, headers["retry-after"]) == (503, "1")
    assert "Kafka did not take 1 of the events" in answer["error"]
    broker.start()
    served.await_(lambda: served.ask("POST", "/events", event | {"event_id": "k2"}, token=None)[0] == 202, 60)
    served.await_(lambda: served.ask("GET", "/health", token=None)[2]["outbox"]["spooled_decisions"] == 0, 60)
    wanted = {answer["decision_id"] for _, _, answer in made}
    served.await_(lambda: wanted <= decisions(settings), 60)


def decisions(settings):
    """Ids of the decisions that Kafka has."""
    records = (json.loads(message.value()) for message in read_topic(settings, "interactions"))
    return {record["decision_id"] for record in records if record.get("event_type") == "decision"}
