"""All connections of an application, in one thread of asyncio.

Requests wait in one queue, in the order in which they became complete. Between two of them the sockets are
looked after: who would have to wait for too long hears so at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Coroutine
from email.utils import formatdate

from pipelines.serving.connection import Connection, Exchange
from pipelines.serving.exchange import Application


class Wire:
    """All connections of an application, and the queue of their requests."""

    def __init__(self, app: Application, loop: asyncio.AbstractEventLoop) -> None:
        """Nobody is listened to yet."""
        self.app, self.loop = app, loop
        self.connections: set[Connection] = set()
        self.is_closing = False
        self.date = formatdate(usegmt=True).encode()
        self._turns: deque[tuple[Connection, Exchange]] = deque()
        self._is_scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def listen(
        self, host: str, port: int, context: ssl.SSLContext | None, backlog: int, shares_port: bool
    ) -> None:
        """Answer on that port from now on. Raises OSError when it is taken."""
        self._server = await self.loop.create_server(
            lambda: Connection(self), host, port, ssl=context, backlog=backlog, reuse_port=shares_port or None
        )
        self._sweeper = self.loop.create_task(self._sweep())

    def take(self, connection: Connection, exchange: Exchange) -> None:
        """Let the request wait for its turn."""
        self._turns.append((connection, exchange))
        if not self._is_scheduled:
            self._is_scheduled = True
            self.loop.call_soon(self._next)

    def _next(self) -> None:
        connection, exchange = self._turns.popleft()
        self._is_scheduled = bool(self._turns)
        if self._turns:
            self.loop.call_soon(self._next)
        connection.run(exchange)

    def later(self, work: Coroutine[None, None, None]) -> None:
        """Run a coroutine to its end."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.date = formatdate(usegmt=True).encode()
            now = self.loop.time()
            for connection in list(self.connections):
                connection.look(now)

    async def close(self, until: float) -> None:
        """Listen no longer; end each connection after its answer, at `until` (loop time) all of them."""
        self.is_closing = True
        if self._server is not None:
            self._server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self.connections):
            connection.end()
        while self.connections and self.loop.time() < until:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()
