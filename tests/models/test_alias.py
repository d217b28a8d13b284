"""The small request for an alias says what MLflow's client says, or leaves it to that."""

import http.server
import threading

import pytest

from pipelines.errors import RegistryError
from pipelines.models.alias import Alias
from pipelines.models.registry import Registry
from tests.models.builders import a_training

NAME = "asked-ranker"
OK = b'{"model_version": {"name": "shop-ranker", "version": "7", "aliases": ["champion"]}}'


@pytest.fixture(scope="module")
def registry(mlflow_server, tmp_path_factory):
    registry = Registry(mlflow_server.uri)
    for _ in range(2):
        registry.register(a_training(tmp_path_factory.mktemp("asked") / "ranker", NAME))
    return registry


def by_client(registry, alias="champion"):
    return str(registry._client.get_model_version_by_alias(NAME, alias).version)


def test_it_follows_the_champion_over_one_connection(registry):
    alias = Alias(registry.uri, {})
    for version in ("1", "2", "1"):
        registry.promote(NAME, version)
        assert alias.version(NAME, "champion") == by_client(registry) == registry.current(NAME) == version
    socket = alias._connection.sock
    assert socket is not None
    alias.version(NAME, "champion")
    assert alias._connection.sock is socket


def test_what_is_not_there_is_left_to_the_client(registry):
    alias = Alias(registry.uri, {})
    assert alias.version(NAME, "shadow") is None
    assert alias.version("nobody-ranker", "champion") is None
    assert registry.current("nobody-ranker") is None


def test_a_name_is_sent_as_it_is(registry):
    assert Alias(registry.uri, {}).version("a&name=asked-ranker", "champion") is None


class Server(http.server.ThreadingHTTPServer):
    """Answers one after the other of `answers` (status, content), then goes on with the last; a content of
    None closes the connection without a word."""

    def __init__(self, *answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked = list(answers), []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def uri(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        answers = self.server.answers
        status, content = answers.pop(0) if len(answers) > 1 else answers[0]
        if content is None:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def serving():
    servers = []

    def start(*answers):
        servers.append(Server(*answers))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_path_before_the_api_and_headers_are_kept(serving):
    server = serving((200, OK))
    assert (
        Alias(f"{server.uri}/ml/", {"X-MLFLOW-WORKSPACE": "shop"}).version("shop-ranker", "champion") == "7"
    )
    [(path, headers)] = server.asked
    assert path == "/ml/api/2.0/mlflow/registered-models/alias?name=shop-ranker&alias=champion"
    assert headers["X-MLFLOW-WORKSPACE"] == "shop"


def test_a_connection_that_was_closed_meanwhile_is_opened_again(serving):
    server = serving((200, OK), (0, None), (200, OK))
    alias = Alias(server.uri, {})
    assert [alias.version("shop-ranker", "champion") for _ in range(2)] == ["7", "7"]
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "answer",
    [
        (401, b"who are you"),
        (500, OK),
        (200, b"<html>"),
        (200, b"{}"),
        (200, b'{"model_version": 5}'),
        (302, OK),
        (0, None),
    ],
)
def test_any_other_answer_is_no_answer(serving, answer):
    assert Alias(serving(answer).uri, {}).version("shop-ranker", "champion") is None


def test_a_server_that_wants_credentials_gets_them_from_the_client(serving, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "of the shop")
    server = serving((401, b"{}"), (200, OK))
    assert Registry(server.uri).current("shop-ranker") == "7"
    first, second = (headers.get("Authorization") for _, headers in server.asked)
    assert (first, second) == (None, "Bearer of the shop")


def test_a_server_that_does_not_answer_is_still_an_error(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert Alias("http://127.0.0.1:9", {}).version("shop-ranker", "champion") is None
    with pytest.raises(RegistryError, match=r"MLflow at http://127\.0\.0\.1:9"):
        Registry("http://127.0.0.1:9").current("shop-ranker")


@pytest.mark.parametrize("uri", ["https://mlflow.example", "sqlite:///mlflow.db", "databricks", "file:///x"])
def test_of_other_stores_it_knows_nothing(uri):
    assert Alias(uri, {}).version("shop-ranker", "champion") is None


def test_a_proxy_is_left_to_the_client(serving, monkeypatch):
    server = serving((200, OK))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert Alias(server.uri, {}).version("shop-ranker", "champion") is None
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert Alias(server.uri, {}).version("shop-ranker", "champion") == "7"
