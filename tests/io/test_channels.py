"""Alerts reach a real topic, a real web server and a real mail server, and wait for those that are away."""

import contextlib
import hashlib
import hmac
import http.server
import json
import socket
import socketserver
import threading
import time

import pytest
from confluent_kafka import Consumer

from pipelines import settings as settings_module
from pipelines.anomalies.alert_batches import Batch, Rules, State
from pipelines.anomalies.alert_rows import message
from pipelines.anomalies.alerts import raise_incidents
from pipelines.errors import DeliveryError, RefusedError, SettingsError
from pipelines.io import channels
from pipelines.io.deliveries import Deliveries
from tests.builders_watch import CONFIG, NOON_MS, a_drop, config


def a_message(name="clicks"):
    done = raise_incidents(State(), Batch([a_drop(name)], NOON_MS), NOON_MS, CONFIG, Rules())
    return message(done.notifications[0], NOON_MS, CONFIG)


class Hook(http.server.ThreadingHTTPServer):
    """Takes posts; `answers` are the statuses of the next ones, 200 after them."""

    def __init__(self, port=0):
        self.posts, self.answers = [], []
        super().__init__(("127.0.0.1", port), _Post)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/hook?shop=1"


class _Post(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.posts.append((self.path, self.headers, body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class MailServer(socketserver.ThreadingTCPServer):
    """As much of SMTP as a client needs to hand over a letter."""

    allow_reuse_address = True

    def __init__(self):
        self.letters, self.logins = [], []
        super().__init__(("127.0.0.1", 0), _Letter)


class _Letter(socketserver.StreamRequestHandler):
    def handle(self):
        self.say("220 here")
        to = []
        while line := self.rfile.readline().decode().strip():
            word = line.split(":")[0].upper()
            if word.startswith("EHLO"):
                self.say("250-here\r\n250 AUTH PLAIN")
            elif word.startswith("AUTH"):
                self.server.logins.append(line)
                self.say("235 welcome")
            elif word == "RCPT TO":
                to.append(line)
                self.say("250 yes")
            elif word == "DATA":
                self.say("354 go on")
                lines = []
                while (part := self.rfile.readline().decode()) != ".\r\n":
                    lines.append(part)
                self.server.letters.append((to, "".join(lines)))
                self.say("250 taken")
            elif word == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 yes")

    def say(self, text):
        self.wfile.write(f"{text}\r\n".encode())


@contextlib.contextmanager
def running(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_post_is_signed_with_its_time_and_shown_by_slack():
    with running(Hook()) as hook:
        sent = a_message()
        channels.Webhook(hook.url, "key", lambda: "http://page").deliver(sent)
    [(path, headers, body)] = hook.posts
    assert path == "/hook?shop=1"
    assert headers["idempotency-key"] == sent.key
    at, _, told = headers["x-lakepulse-signature"].removeprefix("t=").partition(",v1=")
    assert hmac.new(b"key", f"{at}.".encode() + body, hashlib.sha256).hexdigest() == told
    assert abs(int(at) - time.time()) < 60
    content = json.loads(body)
    assert content["text"] == content["blocks"][0]["text"]["text"]
    assert content["text"].startswith("HIGH: clicks@all changed (opened)\n  clicks 10 (usual: 80 to 120)\n")
    assert content["text"].endswith(f"http://page/#{sent.incident_id}")
    assert content["metadata"]["event_payload"]["fingerprint"] == sent.fingerprint


@pytest.mark.parametrize(
    ("status", "error"), [(500, DeliveryError), (404, DeliveryError), (400, RefusedError)]
)
def test_a_hook_that_does_not_take_it_is_told_apart_from_one_that_never_will(status, error):
    with running(Hook()) as hook:
        hook.answers.append(status)
        with pytest.raises(error, match=f"answered {status}") as told:
            channels.Webhook(hook.url, "key").deliver(a_message())
    assert type(told.value) is error


def test_a_letter_arrives_with_its_reasons(monkeypatch):
    with running(MailServer()) as server:
        about = config(
            mail_host="127.0.0.1",
            mail_port=server.server_address[1],
            mail_tls="none",
            mail_from="watch@shop.example",
            mail_to=("ann@shop.example", "bob@shop.example"),
        )
        channels.Mail(about, ("watch", "secret")).deliver(a_message())
    [(to, letter)] = server.letters
    assert len(to) == 2
    assert len(server.logins) == 1
    assert "Subject: [LakePulse] high: clicks@all changed" in letter
    assert "clicks 10 (usual: 80 to 120)" in letter


def test_a_mail_server_that_is_away_is_told():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    about = config(mail_host="127.0.0.1", mail_port=port, mail_tls="none", mail_from="a@b", mail_to=("c@d",))
    with pytest.raises(DeliveryError, match="did not take it"):
        channels.Mail(about, ("", "")).deliver(a_message())


def test_the_topic_has_the_message_under_its_fingerprint(kafka_broker, tmp_path):
    overrides = {"paths": {"state": str(tmp_path)}, "kafka": {"bootstrap": kafka_broker.bootstrap}}
    settings = settings_module.load(environ={}, overrides=overrides)
    sent = a_message()
    channels.KafkaChannel(settings).deliver(sent)
    consumer = Consumer(
        {"bootstrap.servers": kafka_broker.bootstrap, "group.id": "t", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([channels.TOPIC])
    found = []
    until(lambda: (m := consumer.poll(0.2)) is not None and (found.append(m) or found[-1].key() is not None))
    consumer.close()
    assert found[-1].key() == sent.fingerprint.encode()
    assert json.loads(found[-1].value())["incident_id"] == sent.incident_id
    assert found[-1].headers() == [("idempotency-key", sent.key.encode())]


def test_a_dead_channel_loses_nothing_and_keeps_nobody_waiting(tmp_path):
    with running(Hook()) as dead:
        url, port = dead.url, dead.server_address[1]
    messages = [a_message(name) for name in ("clicks", "carts", "views")]
    with running(Hook()) as alive:
        about = [channels.Webhook(url, "key"), channels.Webhook(alive.url, "key")]
        about[0].name, about[1].name = "dead", "alive"
        deliveries = Deliveries(about, tmp_path, 1 << 20, 0.2)
        for one in messages:
            deliveries.put(one)
        until(lambda: deliveries.waiting() == {"dead": 3, "alive": 0})
        deliveries.close()
        assert len(alive.posts) == 3
        with running(Hook(port)) as back:
            back.answers += [503, 400]
            later = Deliveries(about[:1], tmp_path, 1 << 20, 0.2)
            until(lambda: later.waiting() == {"dead": 0})
            later.close()
    keys = [headers["idempotency-key"] for _, headers, _ in back.posts]
    assert keys == [messages[0].key, messages[0].key, messages[1].key, messages[2].key]
    aside = json.loads((tmp_path / "dead.refused.jsonl").read_text())
    assert aside["message"]["key"] == messages[0].key
    assert not list(tmp_path.glob("*.queue"))


def test_a_channel_without_its_secret_is_refused(settings):
    import dataclasses

    hooked = dataclasses.replace(settings, alerts=config(to_kafka=False, webhook_url="http://127.0.0.1:1/"))
    with pytest.raises(SettingsError, match="LAKEPULSE_WEBHOOK_SECRET is not"):
        channels.channels(hooked, {})
    assert [c.name for c in channels.channels(hooked, {channels.SECRET: "key"})] == ["webhook"]
