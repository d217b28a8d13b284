"""The service as its own process, over HTTP, with real Kafka, MLflow and store."""

import asyncio
import concurrent.futures
import dataclasses
import datetime
import io
import ipaddress
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rich.console import Console

from pipelines.cli._load import Plan, measure, shown
from pipelines.client import Client
from pipelines.errors import RequestError, StackError
from pipelines.models.registry import Registry
from pipelines.serving.access import digest_of
from pipelines.stack import reflex
from tests.serving import stage
from tests.serving.served import MODEL, Served, installation, register

TOKENS = f"""
front {digest_of("front")} rank,events
boss  {digest_of("boss")} admin
"""


@pytest.fixture(scope="module")
def settings(kafka_broker, mlflow_server, tmp_path_factory):
    state = tmp_path_factory.mktemp("http")
    (state / "tokens").write_text(TOKENS)
    return installation(state, kafka_broker, mlflow_server, max_body_bytes=20_000)


@pytest.fixture(scope="module")
def versions(settings, tmp_path_factory):
    """Two versions, the first in charge."""
    folder = tmp_path_factory.mktemp("packages")
    found = [register(settings, folder / str(seed), MODEL, seed) for seed in (0, 1)]
    Registry(settings.tracking_uri).promote(MODEL, found[0])
    return found


@pytest.fixture(scope="module")
def served(settings, versions, tmp_path_factory):
    service = Served(settings, tmp_path_factory.mktemp("logs") / "log")
    try:
        service.await_(lambda: service.ask("GET", "/ready")[0] == 200)
        yield service
    finally:
        service.stop()


def an_order(**changes):
    return {"user_id": stage.a_user(), "items": stage.item_ids()[:10]} | changes


def test_a_list_is_ranked(served, versions):
    status, _, answer = served.ask("POST", "/rank", an_order())
    assert status == 200, answer
    assert len(answer["items"]) == 10
    assert answer["model_version"] == f"{MODEL}/{versions[0]}"
    assert "degraded" not in answer


def test_a_wrong_request_says_what_is_wrong(served):
    cases = [
        ("POST", "/rank", {"user_id": "u", "itmes": ["a"]}, 400, "did you mean 'items'"),
        ("POST", "/rank", b"x" * 30_000, 413, "20000 are taken"),
        ("GET", "/rank", None, 405, "/rank takes POST"),
        ("GET", "/rnak", None, 404, "did you mean '/rank'"),
        ("POST", "/events", {"event_id": "e"}, 422, None),
    ]
    for method, path, body, status, words in cases:
        found, _, answer = served.ask(method, path, body)
        assert found == status, answer
        assert words is None or words in answer["error"]


def test_tokens_and_scopes(served):
    assert served.ask("POST", "/rank", an_order(), token=None)[0] == 401
    assert served.ask("POST", "/rank", an_order(), token="boss")[0] == 403
    status, headers, _ = served.ask("POST", "/rank", an_order(), token="stolen")
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    for path in ("/health", "/ready", "/metrics", "/openapi.json", "/docs"):
        assert served.ask("GET", path, token=None)[0] == 200, path


def test_an_acknowledged_event_changes_the_next_list(served):
    user, items = "a new one", stage.item_ids()[:10]
    _, _, before = served.ask("POST", "/rank", an_order(user_id=user))
    event = {"event_id": "h1", "event_time": int(time.time() * 1000), "event_type": "click"}
    status, _, answer = served.ask("POST", "/events", {**event, "user_id": user, "item_id": items[4]})
    assert (status, answer) == (202, {"accepted": 1, "rejected": []})
    _, _, after = served.ask("POST", "/rank", an_order(user_id=user))
    assert before["items"] != after["items"]
    assert served.ask("GET", "/users/a%20new%20one")[2]["interactions"] == 1
    _, _, told = served.ask("GET", f"/decisions/{after['decision_id']}/explain")
    assert [item["item_id"] for item in told["items"]] == [item["item_id"] for item in after["items"]]


def test_the_demo_shows_a_list_before_and_after_a_click_and_the_reasons(served):
    items = stage.item_ids()[:12]
    with Client(f"http://127.0.0.1:{served.port}", token="front") as client:
        seen = reflex.react(client, stage.shop(), "one who clicks", items, int(time.time() * 1000))
    assert seen.item_id == seen.before.items[-1].item_id
    assert {item.item_id for item in seen.after.items} == set(items)
    assert seen.before.items != seen.after.items
    assert reflex.summary(seen)[seen.event_type] == seen.item_id
    page = Console(width=120, record=True, file=io.StringIO())
    reflex.show(seen, page)
    text = page.export_text()
    for words in (seen.item_id, f"Why {seen.item_id}", f"by {MODEL}/"):
        assert words in text


def test_metrics_count_requests_and_the_log_names_nobody(served):
    text = served.ask("GET", "/metrics")[2]
    assert 'lakepulse_requests_total{route="/rank",status="200",worker="0"}' in text
    served.await_(lambda: "/rank 200" in served.log.read_text(), 10)
    log = served.log.read_text()
    assert stage.a_user() not in log
    assert "a new one" not in log
    assert "127.0.0.1" not in log.replace(served.settings.bootstrap, "").replace(
        served.settings.tracking_uri, ""
    )


def test_another_champion_is_swapped_in_without_a_failed_request(served, settings, versions):
    registry = Registry(settings.tracking_uri)
    ending, seen = [False], []

    def keep_asking():
        while not ending[0]:
            seen.append(served.ask("POST", "/rank", an_order())[::2])

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(keep_asking) for _ in range(2)]
        began = time.monotonic()
        registry.promote(MODEL, versions[1])
        served.await_(lambda: served.version() == versions[1], 10)
        swapped = time.monotonic() - began
        status, _, told = served.ask("POST", "/admin/rollback", token="boss")
        assert (status, told["to"]) == (200, versions[0])
        served.await_(lambda: served.version() == versions[0], 10)
        ending[0] = True
        for one in asking:
            one.result()
    assert swapped < 5
    assert {status for status, _ in seen} == {200}
    assert {a["model_version"] for _, a in seen} == {f"{MODEL}/{v}" for v in versions}
    assert served.ask("POST", "/admin/rollback", token="boss")[0] == 409


def test_a_revoked_token_is_refused_soon(served, settings):
    path = settings.state / "tokens"
    path.write_text("\n".join(line for line in TOKENS.splitlines() if not line.startswith("front")))
    served.await_(lambda: served.ask("POST", "/rank", an_order())[0] == 401, 5)
    path.write_text(TOKENS)
    served.await_(lambda: served.ask("POST", "/rank", an_order())[0] == 200, 5)


def test_a_damaged_model_is_refused_and_the_old_one_stays(served, settings, versions, tmp_path):
    folder = tmp_path / "damaged"
    bad = register(settings, folder, MODEL, 5)
    cached = settings.state / "models" / MODEL / bad
    Registry(settings.tracking_uri).fetch(MODEL, bad, settings.state / "models")
    (cached / "ranker.ubj").write_bytes(b"something else")
    Registry(settings.tracking_uri).promote(MODEL, bad)
    served.await_(lambda: served.ask("GET", "/health")[2]["refused"] == {MODEL: bad}, 10)
    status, _, answer = served.ask("POST", "/rank", an_order())
    assert (status, answer["model_version"]) == (200, f"{MODEL}/{versions[0]}")
    Registry(settings.tracking_uri).promote(MODEL, versions[0])


def test_the_client_speaks_to_it(served):
    shop = Client(f"http://127.0.0.1:{served.port}", token="front")
    order = shop.rank("by client", items=stage.item_ids()[:5], query="lamp", session_id="s")
    assert len(order.items) == 5
    assert order.degraded == ["unknown_user"]
    event = {"event_id": "c1", "event_time": int(time.time() * 1000), "event_type": "click"}
    taken = shop.send({**event, "user_id": "by client", "item_id": "i1"}, {})
    assert (taken.accepted, [rejected.index for rejected in taken.rejected]) == (1, [1])
    assert shop.send({}).accepted == 0
    assert shop.user("by client")["interactions"] == 1
    assert shop.explain(order.decision_id)["differing"] == []
    with pytest.raises(RequestError, match="items: expected"):
        shop.rank("by client", items=[])
    shop.close()
    with pytest.raises(StackError, match="does not answer"):
        Client("http://127.0.0.1:9", tries=2, sleep=lambda _: None).user("u")


def test_a_load_is_answered_at_its_rate(served):
    plan = Plan(rate=50, seconds=1, connections=8, ids=stage.item_ids(), size=10, users=20)
    found = asyncio.run(measure(f"http://127.0.0.1:{served.port}", "front", plan))
    assert (found["sent"], found["unanswered"]) == (50, 0)
    assert found["answers"].keys() <= {"200", "503"}
    assert found["answers"]["200"] > 25
    assert found["p50_ms"] <= found["p99_ms"]
    assert "50 requests at 50 a second" in shown(found)


def a_certificate(folder):
    """A certificate for 127.0.0.1 that signs itself, and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a shop")])
    now = datetime.datetime.now(datetime.UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    kind = serialization.PrivateFormat.PKCS8
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, plain))
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_with_a_certificate_it_speaks_tls_and_nothing_else(served, settings, tmp_path):
    certificate, key = a_certificate(tmp_path)
    serving = dataclasses.replace(settings.serving, tls_certificate=certificate, tls_key=key)
    trusting = ssl.create_default_context(cafile=certificate)
    safe = Served(dataclasses.replace(settings, serving=serving), tmp_path / "log", trusting)
    try:
        safe.await_(lambda: safe.ask("GET", "/ready")[0] == 200)
        with Client(f"https://127.0.0.1:{safe.port}", token="front", context=trusting) as shop:
            assert len(shop.rank("u", items=stage.item_ids()[:3]).items) == 3
        # A service that nobody vouches for is not spoken to, and one that speaks TLS does not speak without.
        for address in (f"https://127.0.0.1:{safe.port}", f"http://127.0.0.1:{safe.port}"):
            with (
                Client(address, token="front", tries=1) as shop,
                pytest.raises(StackError, match="not answer"),
            ):
                shop.rank("u", items=stage.item_ids()[:3])
    finally:
        assert safe.stop() == 0


def test_a_service_that_is_asked_to_stop_ends_what_it_began(served, settings, tmp_path):
    short = dataclasses.replace(
        settings, mlflow=dataclasses.replace(settings.mlflow, tracking_uri="http://127.0.0.1:9")
    )
    again = Served(short, tmp_path / "log")
    try:
        # The registry is away: the version that was in charge last ranks, and its age says so.
        again.await_(lambda: again.ask("GET", "/ready")[0] == 200)
        assert again.ask("GET", "/health")[2]["registry_answers"] is False
        failed = []

        def keep_asking():
            while again.process.poll() is None:
                try:
                    status = again.ask("POST", "/rank", an_order())[0]
                except (ConnectionRefusedError, ConnectionResetError):
                    return
                if status != 200:
                    failed.append(status)

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            asking = [pool.submit(keep_asking) for _ in range(2)]
            time.sleep(0.3)
            code = again.stop()
            for one in asking:
                one.result()
    finally:
        again.stop()
    assert (code, failed) == (0, [])
