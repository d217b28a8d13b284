"""HTTP/1.1 over real sockets: what is sent in one piece, in many, twice at once, or wrongly."""

import asyncio
import contextlib
from dataclasses import dataclass, field

import pytest

from pipelines.errors import RequestError
from pipelines.serving import connection
from pipelines.serving.exchange import Answer
from pipelines.serving.wire import Wire
from pipelines.stack import ports

MOST = 1_000


@dataclass
class Echo:
    """Answers with the method, the path and the body; `/later` a moment later, `/no` not at all."""

    most_bytes: int = MOST
    taken: list[str] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    abandoned: int = 0

    def begin(self, asked):
        return Answer(403, b"no") if asked.path == "/no" else asked

    def too_large(self, ticket, size):
        return Answer(413, str(size).encode())

    def answer(self, asked):
        self.taken.append(asked.path)
        if asked.path == "/broken":
            raise RequestError(418, "nobody catches this")
        said = Answer(200, f"{asked.method} {asked.path}?{asked.query} ".encode() + asked.body, "text/plain")
        return self._later(said) if asked.path.startswith("/later") else said

    async def _later(self, said):
        await asyncio.sleep(0.05)
        return said

    def finish(self, ticket, answer):
        self.finished.append(answer.status)

    def abandon(self, ticket):
        self.abandoned += 1


@contextlib.asynccontextmanager
async def listening(app):
    wire, port = Wire(app, asyncio.get_running_loop()), ports.free_port()
    await wire.listen("127.0.0.1", port, None, 100, shares_port=False)
    try:
        yield wire, port
    finally:
        await wire.close(asyncio.get_running_loop().time() + 1)


async def answers(port, *pieces, pause_s=0.0):
    """Everything that comes back until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause_s)
    found = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return found.decode()


def said(text):
    """Status and body of each answer, one behind the other."""
    found = []
    while text:
        head, _, rest = text.partition("\r\n\r\n")
        status = int(head.split()[1])
        if status == 100:
            text = rest
            continue
        lengths = [
            int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length")
        ]
        found.append((status, rest[: lengths[0]]))
        text = rest[lengths[0] :]
    return found


def request(path, body=b"", method="POST", more=""):
    return f"{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body


LAST = request("/last", more="connection: close\r\n")
AT_LAST = (200, "POST /last? ")


def spoken(*pieces, app=None, pause_s=0.0):
    async def speak():
        async with listening(app or Echo()) as (_, port):
            return await answers(port, *pieces, pause_s=pause_s)

    return said(asyncio.run(speak()))


def test_a_request_in_single_bytes_is_the_same_request():
    whole = request("/a%20b?c=d", b"body") + LAST
    assert spoken(whole) == spoken(*(bytes([byte]) for byte in whole))
    assert spoken(whole) == [(200, "POST /a%20b?c=d body"), AT_LAST]


def test_requests_sent_at_once_are_answered_in_their_order():
    app = Echo()
    many = [f"/later{n}" if n % 3 == 0 else f"/{n}" for n in range(40)]
    found = spoken(b"".join(request(path) for path in many) + LAST, app=app)
    assert found == [*((200, f"POST {path}? ") for path in many), AT_LAST]
    assert app.taken == [*many, "/last"]
    assert app.finished == [200] * 41


def test_a_chunked_body_is_put_together():
    chunked = (
        b"POST /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert spoken(chunked + LAST) == [(200, "POST /c? abcde"), AT_LAST]


def test_a_refused_request_is_refused_before_its_body_and_the_next_one_answered():
    refused = request("/no", b"x" * 500)
    app = Echo()
    assert spoken(refused[:-400], refused[-400:], LAST, app=app, pause_s=0.05) == [(403, "no"), AT_LAST]
    assert app.taken == ["/last"]


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_is_refused_and_not_kept(announced):
    app, body = Echo(), b"x" * 100_000
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    chunked = b"POST /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + chunk
    found = spoken(request("/c", body) if announced else chunked, LAST, app=app)
    assert [status for status, _ in found] == [413, 200]
    assert int(found[0][1]) > MOST
    assert (app.taken, app.finished) == (["/last"], [413, 200])


def test_who_waits_to_be_told_to_go_on_is_told():
    head = request("/e", b"body", more="expect: 100-continue\r\n")[:-4]

    async def speak():
        async with listening(Echo()) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            told = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            writer.write(b"body")
            found = await asyncio.wait_for(reader.readuntil(b"body"), 10)
            writer.close()
            return told, found

    told, found = asyncio.run(speak())
    assert told.startswith(b"HTTP/1.1 100")
    assert found.startswith(b"HTTP/1.1 200")


def test_head_has_no_body_and_an_old_client_is_let_go():
    async def speak(*pieces):
        async with listening(Echo()) as (_, port):
            return await answers(port, *pieces)

    text = asyncio.run(speak(request("/h", method="HEAD") + LAST))
    first, _, rest = text.partition("\r\n\r\n")
    assert "content-length: 9" in first
    assert rest.startswith("HTTP/1.1 200")
    old = asyncio.run(speak(b"GET /old HTTP/1.0\r\n\r\n"))
    assert "connection: close" in old
    assert old.endswith("GET /old? ")


@pytest.mark.parametrize(
    ("piece", "status"),
    [
        (b"how are you?\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc", 400),
        (b"GET / HTTP/1.1\r\n" + b"a: " + b"x" * 40_000 + b"\r\n\r\n", 431),
        (b"GET http://[ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ],
    ids=["no HTTP", "no length", "two lengths", "long headers", "no address", "HTTP/2"],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(piece, status):
    app = Echo()
    found = spoken(piece, app=app)
    assert [code for code, _ in found] == [status]
    assert app.taken == []


def test_an_error_that_nobody_caught_is_a_500_and_the_next_request_is_answered():
    async def speak():
        asyncio.get_running_loop().set_exception_handler(lambda _, about: seen.append(about["exception"]))
        async with listening(app) as (_, port):
            return await answers(port, request("/broken") + LAST)

    app, seen = Echo(), []
    found = said(asyncio.run(speak()))
    assert [status for status, _ in found] == [500, 200]
    assert [str(problem) for problem in seen] == ["nobody catches this"]
    assert app.finished == [500, 200]


def test_a_client_that_leaves_is_forgotten():
    async def speak():
        async with listening(app) as (wire, port):
            for piece in (request("/later"), request("/half", b"x" * 10)[:-5], request("/later") * 3):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(piece)
                await asyncio.sleep(0.02)
                writer.transport.abort()
            await asyncio.sleep(0.15)
            return len(wire.connections)

    app = Echo()
    assert asyncio.run(speak()) == 0
    assert len(app.finished) + app.abandoned == 5
    assert app.finished == [200, 200]


def test_who_sends_too_slowly_or_says_nothing_is_let_go(monkeypatch):
    monkeypatch.setattr(connection, "RECEIVE_S", 0.5)
    monkeypatch.setattr(connection, "IDLE_S", 0.5)
    assert spoken(b"GET / HTTP/1.1\r\nho") == [(408, "the request took longer than 0.5 s")]
    assert spoken(request("/one")) == [(200, "POST /one? ")]


def test_the_end_waits_for_answers_and_for_nothing_else():
    async def speak():
        app = Echo()
        async with listening(app) as (wire, port):
            idle, writer = await asyncio.open_connection("127.0.0.1", port)
            coming = asyncio.create_task(answers(port, request("/later")))
            await asyncio.sleep(0.02)
            await wire.close(asyncio.get_running_loop().time() + 5)
            assert await idle.read() == b""
            writer.close()
            with pytest.raises(OSError, match="onnect"):
                await asyncio.open_connection("127.0.0.1", port)
            return await coming

    text = asyncio.run(speak())
    assert said(text) == [(200, "POST /later? ")]
    assert "connection: close" in text
