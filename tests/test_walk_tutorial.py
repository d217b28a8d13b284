"""The tutorial as it stands, and the notebooks about the service: each request that the page shows is sent to
the service of the walk, and answered as it says. Requests go to the walk's Kafka, so nothing that compares
Kafka and the lake may come after this file."""

import json
import re
import shlex
import time
from pathlib import Path

import pytest

from tests.fixtures_walk import run_job
from tests.serving.served import Served
from tests.test_notebooks import SERVED, shown_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def served(walked, spark, tmp_path_factory):
    assert run_job("update_online_store", walked.settings, spark, walked.domain) == 0
    service = Served(walked.settings, tmp_path_factory.mktemp("tutorial") / "log")
    try:
        service.await_(lambda: service.ask("GET", "/ready", token=None)[0] == 200)
        yield service
    finally:
        service.stop()


def steps():
    """What the page shows, in order: a request as (method, path, body), or the keys that the last answer may
    have."""
    for line in PAGE.read_text().splitlines():
        if line.startswith("<!-- answer: "):
            yield set(line.removeprefix("<!-- answer: ").removesuffix(" -->").split())
        elif line.startswith("curl "):
            words = shlex.split(line)
            body = words[words.index("-d") + 1] if "-d" in words else None
            url = next(word for word in words if word.startswith("http"))
            assert url.startswith(ADDRESS), f"the tutorial asks {url}, but the service listens at {ADDRESS}"
            yield ("POST" if body else "GET"), url.removeprefix(ADDRESS), body


def test_each_request_of_the_tutorial_is_answered_as_it_says(served):
    answers, answer = {}, {}
    for step in steps():
        if isinstance(step, set):
            assert set(answer) <= step, answer
            assert step - set(answer) <= {"degraded"}, answer
            continue
        method, path, body = step
        if "DECISION_ID" in path:
            path = path.replace("DECISION_ID", answers["/rank"][-1]["decision_id"])
        status, _, answer = served.ask(
            method, path, body and body.replace("NOW", str(int(time.time() * 1000))), token=None
        )
        assert status in (200, 202), (path, answer)
        answers.setdefault(path, []).append(answer)
    assert answers["/ready"] == [{"ready": True}]
    assert answers["/events"] == [{"accepted": 1, "rejected": []}]
    first, second = answers["/rank"]
    assert "unknown_user" in first["degraded"]
    assert "degraded" not in second
    assert [item["score"] for item in first["items"]] != [item["score"] for item in second["items"]]
    assert answers["/users/ada"][0]["interactions"] == 1


def test_the_example_answers_are_what_is_answered():
    shown = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    answers = [json.loads(text.replace(", …", "")) for text in shown]
    assert set(answers[0]) == {"decision_id", "model_version", "items", "degraded"}
    assert answers[1] == {"accepted": 1, "rejected": []}


@pytest.mark.parametrize("path", SERVED, ids=lambda p: p.stem)
def test_a_notebook_about_the_service_runs(path, served, walked, monkeypatch):
    monkeypatch.setenv("LAKEPULSE__PATHS__STATE", str(walked.settings.state))
    monkeypatch.setenv("LAKEPULSE_SERVICE", f"http://127.0.0.1:{served.port}")
    code, shown = shown_of(path)
    assert len(shown) >= len(code)
