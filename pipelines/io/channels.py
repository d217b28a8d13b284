"""Channels that alerts go to: a topic of Kafka, a webhook, e-mail. Each takes one message at a time, or says
why not; `deliveries` sees to it that nothing is lost.

Secrets come by environment only: LAKEPULSE_WEBHOOK_SECRET, LAKEPULSE_MAIL_USER, LAKEPULSE_MAIL_PASSWORD.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import os
import smtplib
import ssl
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
from confluent_kafka import KafkaException, Producer

from pipelines.anomalies.alert_rows import Message, utc
from pipelines.clock import now_ms
from pipelines.errors import DeliveryError, RefusedError, SettingsError
from pipelines.io.kafka_admin import QUIET, client_options
from pipelines.io.producer import OPTIONS
from pipelines.sections import Alerts
from pipelines.settings import Settings

TOPIC = "alerts"
TIMEOUT_S = 10.0
SECRET, MAIL_USER, MAIL_PASSWORD = (
    "LAKEPULSE_WEBHOOK_SECRET",
    "LAKEPULSE_MAIL_USER",
    "LAKEPULSE_MAIL_PASSWORD",
)
FOR_GOOD = {400, 405, 406, 409, 410, 413, 415, 422}
"""Answers of a webhook after which the same message is refused again."""


class Channel(Protocol):
    """Where alerts go."""

    name: str

    def deliver(self, message: Message) -> None:
        """Hand over one message; it is there when this returns. Raises DeliveryError, or RefusedError for
        one that would never be taken."""


def channels(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[Channel]:
    """The channels that the settings name. Raises SettingsError for one whose secret is missing."""
    config, found = settings.alerts, list[Channel]()
    if config.to_kafka:
        found.append(KafkaChannel(settings))
    if config.webhook_url:
        if not environ.get(SECRET):
            raise SettingsError(f"alerts.webhook_url is set, {SECRET} is not: it signs what is posted there")
        found.append(Webhook(config.webhook_url, environ[SECRET], page_url(settings)))
    if config.mail_host:
        login = (environ.get(MAIL_USER, ""), environ.get(MAIL_PASSWORD, ""))
        found.append(Mail(config, login, page_url(settings)))
    return found


def page_url(settings: Settings) -> Callable[[], str]:
    """Where the review page is: as configured, else the local one; empty while that does not run."""

    def known() -> str:
        if settings.alerts.page_url:
            return settings.alerts.page_url.rstrip("/")
        stack = settings.state / "run" / "stack.json"
        return str(msgspec.json.decode(stack.read_bytes()).get("reviews", "")) if stack.is_file() else ""

    return known


class KafkaChannel:
    """The topic `alerts`; the key is the fingerprint, so that a cause's alerts stay in order."""

    name = "kafka"

    def __init__(self, settings: Settings) -> None:
        """The broker need not be there yet."""
        self._settings = settings
        self._producer: Producer | None = None

    def deliver(self, message: Message) -> None:
        """See `Channel.deliver`."""
        problems: list[str] = []
        try:
            if self._producer is None:
                late = {"message.timeout.ms": int(TIMEOUT_S * 1000), "delivery.report.only.error": False}
                self._producer = Producer({**client_options(self._settings), **QUIET, **OPTIONS, **late})
            self._producer.produce(
                *(TOPIC, msgspec.json.encode(message), message.fingerprint.encode()),
                headers={"idempotency-key": message.key},
                timestamp=message.notified_ms,
                on_delivery=lambda problem, _: problems.append(problem.str() if problem else ""),
            )
            self._producer.flush(TIMEOUT_S + 1)
        except (KafkaException, BufferError, SettingsError) as problem:
            raise DeliveryError(f"Kafka did not take it: {problem}") from None
        if problems != [""]:
            raise DeliveryError(f"Kafka did not take it: {''.join(problems) or 'no answer'}")


def signature(secret: str, seconds: int, body: bytes) -> str:
    """The header that signs a body and the time of its sending: HMAC-SHA256 of `<seconds>.<body>`.

    >>> signature("key", 1, b"{}")[:9]
    't=1,v1=1b'
    """
    told = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={told}"


class Webhook:
    """A POST of JSON that Slack shows as it is; others find the whole message in `metadata`."""

    name = "webhook"

    def __init__(self, url: str, secret: str, page: Callable[[], str] = lambda: "") -> None:
        """Raises SettingsError for another address than http:// or https://."""
        self._parts, self._secret, self._page = urlsplit(url), secret, page
        if self._parts.scheme not in ("http", "https") or not self._parts.netloc:
            raise SettingsError(f"alerts.webhook_url is {url!r}: write https://host/path")

    def deliver(self, message: Message) -> None:
        """See `Channel.deliver`."""
        body = msgspec.json.encode(self._body(message))
        seconds = now_ms() // 1000
        headers = {
            "content-type": "application/json",
            "idempotency-key": message.key,
            "x-lakepulse-signature": signature(self._secret, seconds, body),
        }
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._parts.netloc, timeout=TIMEOUT_S)
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        try:
            connection.request("POST", target, body, headers)
            answer = connection.getresponse()
            told = answer.read(300).decode(errors="replace")
        except (OSError, http.client.HTTPException) as problem:
            raise DeliveryError(f"the webhook does not answer: {problem}") from None
        finally:
            connection.close()
        if answer.status >= 300:
            refused = RefusedError if answer.status in FOR_GOOD else DeliveryError
            raise refused(f"the webhook answered {answer.status}: {told}")

    def _body(self, message: Message) -> dict[str, Any]:
        text = told(message, self._page())
        return {
            "text": text,
            "blocks": [{"type": "section", "text": {"type": "plain_text", "text": text[:3000]}}],
            "metadata": {"event_type": "lakepulse_alert", "event_payload": msgspec.to_builtins(message)},
        }


class Mail:
    """E-mail over SMTP."""

    name = "mail"

    def __init__(self, config: Alerts, login: tuple[str, str], page: Callable[[], str] = lambda: "") -> None:
        """Raises SettingsError where the sender, those who get it or the kind of TLS is missing."""
        if not config.mail_from or not config.mail_to:
            raise SettingsError("alerts.mail_host is set: set alerts.mail_from and alerts.mail_to too")
        if config.mail_tls not in ("starttls", "tls", "none"):
            raise SettingsError(f"alerts.mail_tls is {config.mail_tls!r}: write starttls, tls or none")
        self._config, self._login, self._page = config, login, page

    def deliver(self, message: Message) -> None:
        """See `Channel.deliver`."""
        letter = EmailMessage()
        letter["From"], letter["To"] = self._config.mail_from, ", ".join(self._config.mail_to)
        letter["Subject"] = f"[LakePulse] {message.level}: {one_line(message.title)}"
        letter["Date"] = utc(message.notified_ms)
        letter["Message-ID"] = f"<{message.key}@lakepulse>"
        letter.set_content(told(message, self._page()))
        try:
            with self._server() as server:
                if self._login[0]:
                    server.login(*self._login)
                server.send_message(letter)
        except smtplib.SMTPRecipientsRefused as problem:
            raise DeliveryError(f"the mail server refuses who should get it: {problem.recipients}") from None
        except (OSError, smtplib.SMTPException) as problem:
            raise DeliveryError(f"the mail server did not take it: {problem}") from None

    def _server(self) -> smtplib.SMTP:
        where = (self._config.mail_host, self._config.mail_port)
        if self._config.mail_tls == "tls":
            return smtplib.SMTP_SSL(*where, timeout=TIMEOUT_S, context=ssl.create_default_context())
        server = smtplib.SMTP(*where, timeout=TIMEOUT_S)
        if self._config.mail_tls == "starttls":
            server.starttls(context=ssl.create_default_context())
        return server


def one_line(text: str) -> str:
    """A text without line breaks, short enough for a heading."""
    return " ".join(text.split())[:150]


def told(message: Message, page: str) -> str:
    """An alert as text."""
    lines = [
        f"{message.level.upper()}: {one_line(message.title)} ({message.why})",
        *(f"  {one_line(reason)}" for reason in message.reasons),
        f"from {utc(message.window_start_ms):%Y-%m-%d %H:%M} to {utc(message.window_end_ms):%H:%M} UTC, "
        f"p {message.p:.2g}, at stake {message.exposure:,.0f}",
    ]
    if message.segments:
        lines.append(f"segments: {', '.join(map(one_line, message.segments))}")
    return "\n".join([*lines, f"{page}/#{message.incident_id}" if page else message.incident_id])
