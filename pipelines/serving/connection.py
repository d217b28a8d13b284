"""One connection of HTTP/1.1: what arrives is parsed, and answers are written with one call each.

A request that is refused is refused once its headers are there, before its body.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol, cast

import httptools

from pipelines.serving.exchange import Answer, Application, Asked

MOST_HEADER_BYTES = 32_768
MOST_PIPELINED = 16
MOST_DISCARDED = 1 << 24  # bytes of a refused body that are read, so that its sender hears the refusal
IDLE_S, RECEIVE_S = 75.0, 30.0
"""For how long a connection may be idle, and a request or the taking of its answer may last."""
_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\ncontent-type: ".encode() for s in HTTPStatus}
_FAILED = b'{"error":"the request could not be answered: the log says why","status":500}'


@dataclass(slots=True, eq=False)
class Exchange:
    """A request on its way, and its answer."""

    asked: Asked
    ticket: object
    keeps: bool  # the connection is kept after the answer
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    answer: Answer | None = None
    is_complete: bool = False
    is_running: bool = False


class Home(Protocol):
    """What a connection needs of the `wire.Wire` that it belongs to."""

    app: Application
    loop: asyncio.AbstractEventLoop
    connections: set[Connection]
    is_closing: bool
    date: bytes

    def take(self, connection: Connection, exchange: Exchange) -> None:
        """Let the request wait for its turn."""

    def later(self, work: Coroutine[None, None, None]) -> None:
        """Run a coroutine to its end."""


class Connection(asyncio.Protocol):
    """One connection; its requests are answered one after the other."""

    def __init__(self, wire: Home) -> None:
        """Not connected yet."""
        self._wire, self._app = wire, wire.app
        self._parser = httptools.HttpRequestParser(self)
        self._transport = cast(asyncio.Transport, None)
        self._client = ""
        self._exchanges: deque[Exchange] = deque()  # without an answer on its way, in order
        self._receiving: Exchange | None = None
        self._url, self._headers, self._size = b"", dict[bytes, bytes](), 0
        self._wrong = ""  # with what the headers
        self._in_headers = self._blocked = self._closing = self.lost = False
        self.since = wire.loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if isinstance(peer, tuple) else ""
        self._wire.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self.lost = True
        self._wire.connections.discard(self)
        for exchange in self._exchanges:
            if exchange.answer is None and not exchange.is_running:
                self._app.abandon(exchange.ticket)
        self._exchanges.clear()

    def pause_writing(self) -> None:
        """See asyncio."""
        self._blocked, self.since = True, self._wire.loop.time()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """See asyncio."""
        self._blocked = False
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._closing and self._receiving is None:
            return
        if not self._exchanges and self._receiving is None and not self._in_headers:
            self.since = self._wire.loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._closing = True  # answered as HTTP/1.1; what follows would be another protocol
        except httptools.HttpParserCallbackError:
            self._refuse_connection(self._wrong)
            if not self._wrong:
                raise
        except httptools.HttpParserError as problem:
            self._refuse_connection(str(problem))
        if len(self._exchanges) > MOST_PIPELINED and not self._blocked:
            self._transport.pause_reading()

    def _refuse_connection(self, why: str) -> None:
        if not self.lost:
            status = 431 if self._size > MOST_HEADER_BYTES else 400
            found = _plain(status, f"this is no HTTP request that can be read: {why}")
            self._write(found if why else Answer(500, _FAILED), keeps=False)
            self._transport.close()

    def on_message_begin(self) -> None:
        """See httptools."""
        self._url, self._headers, self._size = b"", {}, 0
        self._in_headers = True

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        self._headers[name.lower()] = value
        self._count(len(name) + len(value))

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > MOST_HEADER_BYTES:
            self._wrong = f"the headers have more than {MOST_HEADER_BYTES} bytes"
            raise ValueError(self._wrong)  # the parser ends with an error of its own

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._in_headers = False
        method = self._parser.get_method().decode("ascii")
        path, query = self._target()
        asked = Asked(method, path, query, self._headers, self._client, time.perf_counter())
        keeps = self._parser.should_keep_alive() and not self._wire.is_closing
        ticket = self._app.begin(asked)
        exchange = Exchange(asked, ticket, keeps)
        self._receiving = exchange
        self._exchanges.append(exchange)
        if isinstance(ticket, Answer):
            self._refuse(exchange, ticket)
            return
        length = self._headers.get(b"content-length", b"0")
        if int(length) > self._app.most_bytes:
            self._refuse(exchange, self._app.too_large(ticket, int(length)))
        elif self._headers.get(b"expect", b"").lower() == b"100-continue" and len(self._exchanges) == 1:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _target(self) -> tuple[str, str]:
        """Path and query."""
        try:
            url = httptools.parse_url(self._url)
            return (url.path or b"/").decode("ascii"), (url.query or b"").decode("ascii")
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            self._wrong = "its address is none"
            raise

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        exchange = self._receiving
        if exchange is None:
            return
        exchange.size += len(body)
        if exchange.answer is None:
            exchange.parts.append(body)
            if exchange.size > self._app.most_bytes:
                self._refuse(exchange, self._app.too_large(exchange.ticket, exchange.size))
        elif exchange.size > MOST_DISCARDED:
            self._transport.close()

    def on_message_complete(self) -> None:
        """See httptools."""
        exchange, self._receiving = self._receiving, None
        if exchange is None:
            return
        exchange.is_complete = True
        if exchange.answer is None:
            asked = exchange.asked
            asked.body = exchange.parts[0] if len(exchange.parts) == 1 else b"".join(exchange.parts)
            asked.complete = time.perf_counter()
            if exchange is self._exchanges[0]:
                self._wire.take(self, exchange)
        elif not exchange.keeps:
            self._transport.close()  # the refusal was written before, and its body is read now

    def _refuse(self, exchange: Exchange, answer: Answer) -> None:
        exchange.parts.clear()
        exchange.answer = answer
        self._flush()
        if exchange.ticket is not answer:
            self._app.finish(exchange.ticket, answer)

    def run(self, exchange: Exchange) -> None:
        """Answer the request, whose turn it is."""
        if self.lost:
            return
        exchange.is_running, found = True, None
        try:
            found = self._app.answer(exchange.ticket)
        finally:
            if found is None:  # the event loop logs what it was
                self._done(exchange, Answer(500, _FAILED))
        if isinstance(found, Answer):
            self._done(exchange, found)
        else:
            self._wire.later(self._await(exchange, found))

    async def _await(self, exchange: Exchange, coming: Awaitable[Answer]) -> None:
        answer = Answer(500, _FAILED)
        try:
            answer = await coming
        finally:
            self._done(exchange, answer)

    def _done(self, exchange: Exchange, answer: Answer) -> None:
        exchange.answer = answer
        if not self.lost:
            self._flush()
        self._app.finish(exchange.ticket, answer)

    def _flush(self) -> None:
        """Write the answers whose turn it is, and begin with the next request."""
        while self._exchanges and (answer := self._exchanges[0].answer) is not None:
            exchange = self._exchanges.popleft()
            keeps = exchange.keeps and not self._closing and not self._wire.is_closing
            exchange.keeps = keeps
            self._write(answer, keeps, is_head=exchange.asked.method == "HEAD")
            if not keeps:
                self._closing = True
                if exchange.is_complete:
                    self._transport.close()
                return
        self.since = self._wire.loop.time()
        if not self._blocked and len(self._exchanges) <= MOST_PIPELINED:
            self._transport.resume_reading()
        if self._exchanges and self._exchanges[0].is_complete:
            self._wire.take(self, self._exchanges[0])

    def _write(self, answer: Answer, keeps: bool, is_head: bool = False) -> None:
        lines = [_LINES[answer.status], answer.kind.encode(), b"\r\ncontent-length: "]
        lines += [str(len(answer.body)).encode(), b"\r\ndate: ", self._wire.date]
        for name, value in answer.headers:
            lines += [b"\r\n", name.encode(), b": ", value.encode("latin-1", "replace")]
        lines += [b"\r\n\r\n" if keeps else b"\r\nconnection: close\r\n\r\n"]
        if not is_head:
            lines.append(answer.body)
        self._transport.write(b"".join(lines))

    def look(self, now: float) -> None:
        """Close the connection when it has been idle, or a request on its way, for too long."""
        waits = self._receiving is not None or self._in_headers or self._blocked
        if waits and now - self.since > RECEIVE_S:
            if self._in_headers and not self._blocked and not self._exchanges:
                self._write(_plain(408, f"the request took longer than {RECEIVE_S:g} s"), keeps=False)
                self._transport.close()
            else:
                self._transport.abort()
        elif not waits and not self._exchanges and now - self.since > IDLE_S:
            self._transport.close()

    def end(self) -> None:
        """Close the connection, after the answer to what it has asked."""
        if not self._exchanges and self._receiving is None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection now."""
        self._transport.abort()


def _plain(status: int, words: str) -> Answer:
    return Answer(status, words.encode(), "text/plain; charset=utf-8")
