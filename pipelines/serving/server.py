"""The server around the application: it listens, and it ends without cutting off a request."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable

from pipelines.errors import SettingsError
from pipelines.serving.access import Access
from pipelines.serving.http import App
from pipelines.serving.keeper import Keeper, tokens_of
from pipelines.serving.listening import BACKLOG, check_open, tls_of
from pipelines.serving.wire import Wire

log = logging.getLogger("lakepulse")
QUIET_S = 0.3
SWITCH_S = 0.0005
"""How long a thread that makes the next engine ready may keep requests waiting for the interpreter; Python's
own 5 ms are as long as five rankings."""


async def serve(keeper: Keeper, host: str, port: int, insecure: bool, tell_ready: Callable[[], None]) -> int:
    """Answer on that port until SIGTERM or Ctrl-C, then finish what was begun; the exit code is 0 then.

    Several processes may share a port.
    """
    sys.setswitchinterval(SWITCH_S)
    service, serving = keeper.service, keeper.service.settings.serving
    access = Access(tokens_of(service))
    check_open(host, access.tokens is not None, insecure)
    app = App(service, access, keeper.is_ready, keeper.health, keeper.rollback)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    wire = Wire(app, loop)
    try:
        await wire.listen(host, port, tls_of(serving), BACKLOG, shares_port=serving.workers > 1)
    except OSError as problem:
        raise SettingsError(f"nobody can listen on {host}:{port}: {problem}") from None
    keeping = [
        asyncio.create_task(keeper.keep(access, app.write_lines)),
        asyncio.create_task(keeper.keep_popular()),
    ]
    tell_ready()
    ended = asyncio.create_task(stop.wait())
    await asyncio.wait([ended, *keeping], return_when=asyncio.FIRST_COMPLETED)
    until = loop.time() + serving.drain_s
    await _drain(keeper, app, until - serving.drain_s / 2)
    await wire.close(until)
    for task in keeping:
        if task.done():
            task.result()  # raises what ended it
        task.cancel()
    app.write_lines()
    service.outside.outbox.close(max(0.5, until - loop.time()))
    return 0


async def _drain(keeper: Keeper, app: App, until: float) -> None:
    """Tell balancers to go elsewhere, and wait for what is under way."""
    keeper.draining = True
    log.info("stopping: %d requests are under way", app.waiting.total())
    await asyncio.sleep(QUIET_S)
    loop = asyncio.get_running_loop()
    while app.waiting.total() and loop.time() < until:
        await asyncio.sleep(0.02)
