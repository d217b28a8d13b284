"""The server around the review page: it listens, takes other tokens up, and ends when asked."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable

from pipelines.errors import SettingsError
from pipelines.serving.access import Token
from pipelines.serving.listening import BACKLOG, check_open, tls_of
from pipelines.serving.reviewing import ReviewApp
from pipelines.serving.wire import Wire
from pipelines.settings import Settings

log = logging.getLogger("lakepulse")


async def serve_reviews(
    app: ReviewApp, tokens: Callable[[], list[Token] | None], settings: Settings, port: int, insecure: bool
) -> int:
    """Answer reviewers on that port until SIGTERM or Ctrl-C; tokens are read again as they change."""
    serving, host = settings.serving, settings.alerts.host
    check_open(host, app.access.tokens is not None, insecure, "alerts.host")
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    wire = Wire(app, loop)
    try:
        await wire.listen(host, port, tls_of(serving), BACKLOG, shares_port=False)
    except OSError as problem:
        raise SettingsError(f"nobody can listen on {host}:{port}: {problem}") from None
    while not stop.is_set():
        try:
            async with asyncio.timeout(serving.refresh_s):
                await stop.wait()
        except TimeoutError:
            _take_up(app, tokens)
    await wire.close(loop.time() + serving.drain_s)
    return 0


def _take_up(app: ReviewApp, tokens: Callable[[], list[Token] | None]) -> None:
    try:
        found = tokens()
    except SettingsError as problem:
        log.warning("the tokens stay as they are: %s", problem)
        return
    is_gone = found is None and app.access.tokens is not None
    app.access.tokens = [] if is_gone else found  # without its file nobody may ask any longer
