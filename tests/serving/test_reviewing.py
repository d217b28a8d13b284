"""The review page's service, asked over HTTP: queue, reasons, verdicts, silences, precision, who may."""

import datetime
import json
import time
from urllib.parse import quote

import deltalake
import pytest

from pipelines.anomalies.known_events import known_at, of_metric, parse_calendar
from pipelines.contracts.watch import REVIEWS
from pipelines.errors import RequestError
from pipelines.io import lake
from pipelines.io.calendar import path_of
from pipelines.review_client import ReviewClient
from tests.builders_watch import MINUTE, NOON_MS
from tests.serving import review_stage as stage


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviews")
    settings = stage.an_installation(folder, double_share=1.0)
    stage.fill(settings)
    service = stage.Reviewed(settings, folder / "log")
    yield service
    assert service.stop() == 0


def queue(service, more="", token="ann's token"):
    status, _, told = service.ask("GET", f"/alerts?state=open{more}", token=token)
    assert status == 200, told
    return told["alerts"]


def titled(service, word):
    return next(a["incident_id"] for a in queue(service, "&all=1") if word in a["title"])


def test_the_queue_is_ordered_by_severity_and_marks_samples(reviewed):
    shown = queue(reviewed, "&all=1")
    ordered = [a for a in shown if a["kind"] != "sample"]
    assert [a["severity"] for a in ordered] == sorted((a["severity"] for a in ordered), reverse=True)
    assert len(shown) == 5
    assert [a["chance"] for a in shown if a["kind"] == "sample"] == [0.001]


def test_filters_narrow_the_queue(reviewed):
    assert {a["kind"] for a in queue(reviewed, "&all=1&kind=drop")} == {"drop"}
    assert queue(reviewed, "&all=1&q=u907")[0]["title"] == "user u907 behaves unusually"
    assert queue(reviewed, "&all=1&level=low,medium&kind=drop") == []
    assert reviewed.ask("GET", "/alerts?limit=x")[0] == 400


def test_an_incident_says_why_and_what_is_around_it(reviewed):
    _, _, found = reviewed.ask("GET", f"/alerts/{titled(reviewed, 'u907')}")
    assert [r["name"] for r in found["reasons"]] == ["spent_minor", "distinct_devices", "failures"]
    assert len(found["events"]) == 15
    assert found["events_of"]["entity_id"] == "u907"
    _, _, bots = reviewed.ask("GET", f"/alerts/{titled(reviewed, 'sharing')}")
    assert (bots["entities"], bots["links"][0]["value"]) == (60, "a3f9")
    _, _, outage = reviewed.ask("GET", f"/alerts/{titled(reviewed, 'purchases')}")
    assert outage["segments"] == ["purchases@source=app"]
    assert [point["value"] for point in outage["series"]][-3:] == [9.0, 3.0, 2.0]
    assert outage["causes"] == [{"segment": "source=app", "share": 0.9, "usual_share": 0.4}]


def test_a_verdict_is_kept_once_and_a_second_reviewer_is_asked(reviewed):
    incident = titled(reviewed, "u907")
    path, body = f"/alerts/{incident}/review", {"verdict": "confirmed", "reason": " stolen ", "key": "k1"}
    status, _, told = reviewed.ask("POST", path, body)
    assert (status, told["is_repeat"], told["silences"]) == (201, False, [])
    assert reviewed.ask("POST", path, body)[2]["is_repeat"]
    assert incident not in [a["incident_id"] for a in queue(reviewed)], "ann has judged it"
    [second] = [a for a in queue(reviewed, token="bob's token") if a["incident_id"] == incident]
    assert second["wants"] == "second review"
    reviewed.ask("POST", path, {"verdict": "false_alarm"}, token="bob's token")
    figures = reviewed.ask("GET", "/precision")[2]
    assert (figures["confirmed"], figures["precision"], figures["agreement"]["share"]) == (1, 1.0, 0.0)
    rows = deltalake.DeltaTable(lake.location(reviewed.settings, REVIEWS)).to_pyarrow_table().to_pylist()
    [kept] = [row for row in rows if row["reviewer"] == "ann" and row["incident_id"] == incident]
    assert (kept["verdict"], kept["reason"], kept["entities"]) == (
        *("confirmed", "stolen"),
        [{"entity": "user", "entity_id": "u907"}],
    )
    assert kept["reviewed_at"] > datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def test_expected_silences_the_same_cause_and_a_silence_can_be_ended(reviewed):
    incident = titled(reviewed, "sharing")
    told = reviewed.ask("POST", f"/alerts/{incident}/review", {"verdict": "expected", "reason": "a test"})[2]
    [silence] = reviewed.ask("GET", "/silences")[2]["silences"]
    assert [silence["silence_id"]] == [one["silence_id"] for one in told["silences"]]
    assert silence["matchers"] == {"address": "a3f9", "kind": "outlier"}
    assert silence["why"] == "expected: a test"
    assert reviewed.ask("DELETE", f"/silences/{silence['silence_id']}")[0] == 200
    assert reviewed.ask("GET", "/silences")[2]["silences"] == []
    assert reviewed.ask("DELETE", f"/silences/{silence['silence_id']}")[0] == 404


def test_a_drop_that_was_expected_is_in_the_calendar(reviewed):
    incident = titled(reviewed, "purchases")
    body = {"verdict": "expected", "reason": "works on the checkout"}
    assert reviewed.ask("POST", f"/alerts/{incident}/review", body)[2]["silences"]
    events = parse_calendar(path_of(reviewed.settings).read_text(), "calendar")
    assert known_at(of_metric(events, "purchases", "all"), NOON_MS + 50 * MINUTE).startswith(
        "expected: works"
    )
    for silence in reviewed.ask("GET", "/silences")[2]["silences"]:
        reviewed.ask("DELETE", f"/silences/{silence['silence_id']}")


def test_an_incident_is_given_to_somebody(reviewed):
    incident = titled(reviewed, "purchases")
    assert reviewed.ask("POST", f"/alerts/{incident}/assign", {"to": "bob"})[0] == 201
    assert [a["incident_id"] for a in queue(reviewed, "&all=1&assigned=bob")] == [incident]


def test_an_entity_has_a_history(reviewed):
    found = reviewed.ask("GET", "/entities?entity=user&id=u907")[2]
    assert [i["title"] for i in found["incidents"]] == ["user u907 behaves unusually"]
    [odd] = reviewed.ask("GET", f"/entities?entity=user&id={quote(stage.EVIL)}")[2]["incidents"]
    assert stage.EVIL in odd["title"]
    assert reviewed.ask("GET", "/entities?entity=user&id=nobody/else")[2]["incidents"] == []


def test_the_client_lists_shows_reviews_assigns_and_silences(reviewed):
    with ReviewClient(reviewed.url, "bob's token") as desk:
        [odd] = desk.list("title=", everything=True, level="low,medium,high", kind="outlier")
        found = desk.show(odd.incident_id)
        assert (found.reasons[0]["name"], found.title) == ("distinct_queries", odd.title)
        desk.assign(odd.incident_id, "bob")
        kept = desk.review(odd.incident_id, "new_trend", "a robot of ours")
        assert (kept.is_repeat, kept.silences) == (False, [])
        assert [row["reviewer"] for row in desk.show(odd.incident_id).reviews] == ["bob", "bob"]
        assert odd.incident_id not in {alert.incident_id for alert in desk.list()}
        silence = desk.silence({"address": "a3f9"}, 2.0, "a load test")
        assert (silence.created_by, silence.matchers) == ("bob", {"address": "a3f9"})
        desk.end_silence(silence.silence_id)
        assert desk.precision()["new_trend"] == 1
        with pytest.raises(RequestError, match="did you mean 'confirmed'") as refused:
            desk.review(odd.incident_id, "confirm")
        assert refused.value.status == 422


def test_a_silence_that_is_asked_for_twice_with_one_key_is_one(reviewed):
    body = {"matchers": {"metric": "carts"}, "hours": 1, "why": "a test", "key": "k9"}
    one, other = (reviewed.ask("POST", "/silences", body)[2]["silence_id"] for _ in range(2))
    silences = reviewed.ask("GET", "/silences")[2]["silences"]
    assert [s["silence_id"] for s in silences if s["why"] == "a test"] == [one] == [other]
    reviewed.ask("DELETE", f"/silences/{one}")


ANN, LATER = "ann's token", {"hours": 1, "why": "x"}


@pytest.mark.parametrize(
    ("method", "path", "body", "token", "status", "word"),
    [
        ("GET", "/alerts", None, None, 401, "send a token"),
        ("GET", "/alerts", None, "shop's token", 403, "no scope review"),
        ("POST", "/alerts/x/review", {"verdict": "confirmed"}, ANN, 404, "no incident x"),
        ("POST", "/alerts/ID/review", {"verdict": "confirm"}, ANN, 422, "did you mean 'confirmed'"),
        ("POST", "/alerts/ID/review", {"verdicts": "x"}, ANN, 400, "unknown field 'verdicts'"),
        ("POST", "/alerts/ID/review", b"{", ANN, 400, "the body"),
        ("POST", "/alerts/ID/review", {"verdict": "expected", "reason": "x" * 3000}, ANN, 422, "3,000"),
        ("POST", "/silences", {"matchers": {}, **LATER}, ANN, 422, "everything"),
        ("POST", "/silences", {"matchers": {"metrics": "a"}, **LATER}, ANN, 422, "metric"),
        ("POST", "/silences", {"matchers": {"metric": "a"}, **LATER, "hours": 0}, ANN, 422, "hours"),
        ("DELETE", "/alerts", None, ANN, 405, "takes GET"),
        ("GET", "/nothing", None, ANN, 404, "there is no /nothing"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(reviewed, method, path, body, token, status, word):
    path = path.replace("ID", titled(reviewed, "purchases"))
    found, _, told = reviewed.ask(method, path, body, token)
    assert (found, word in told["error"]) == (status, True), told


def test_a_form_of_another_site_is_refused(reviewed):
    headers = {"content-type": "text/plain"}
    body = json.dumps({"verdict": "confirmed"}).encode()
    path = f"/alerts/{titled(reviewed, 'purchases')}/review"
    assert reviewed.ask("POST", path, body, headers=headers)[0] == 415


def test_the_page_runs_nothing_but_itself(reviewed):
    _, headers, text = reviewed.ask("GET", "/", token=None)
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "innerHTML" not in text


def test_without_tokens_only_this_machine_by_its_own_name(tmp_path):
    settings = stage.an_installation(tmp_path, has_tokens=False)
    service = stage.Reviewed(settings, tmp_path / "log")
    try:
        assert service.ask("GET", "/alerts", token=None)[2]["alerts"] == []
        status, _, told = service.ask("GET", "/alerts", token=None, headers={"host": "evil.example"})
        assert (status, "not 'evil.example'" in told["error"]) == (403, True)
        (tmp_path / "tokens").write_text(stage.TOKENS)
        for _ in range(100):
            if (status := service.ask("GET", "/alerts", token=None)[0]) == 401:
                break
            time.sleep(0.05)
        assert status == 401, "tokens are read while the service runs"
    finally:
        assert service.stop() == 0
