"""A stream that starts as soon as what it needs is there, and looks like any other stream until then."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pyspark.sql.streaming import StreamingQuery

from pipelines.errors import LakePulseError


class LateQuery:
    """A query that `start` starts once `is_ready` says so; it is asked again after a pause.

    It has what jobs use of a StreamingQuery: name, isActive, exception, awaitTermination, stop. With `once`
    it is asked one time only, and has ended when it is not ready then.
    """

    def __init__(
        self,
        name: str,
        is_ready: Callable[[], bool],
        start: Callable[[], StreamingQuery],
        *,
        pause_s: float = 2.0,
        once: bool = False,
    ) -> None:
        self.name = name
        self._is_ready = is_ready
        self._start = start
        self._pause_s = pause_s
        self._stopped = threading.Event()
        self._done = threading.Event()
        self._problem: Exception | None = None
        self._query = start() if is_ready() else None
        if self._query is None and not once:
            threading.Thread(target=self._wait, name=f"waiting-{name}", daemon=True).start()
        else:
            self._done.set()

    @property
    def isActive(self) -> bool:
        """Whether it runs, or waits to run."""
        return self._query.isActive if self._query is not None else not self._done.is_set()

    def exception(self) -> Exception | None:
        """What it failed with, None otherwise."""
        if self._query is not None:
            return self._query.exception()
        return self._problem if self._done.is_set() else None

    def awaitTermination(self, timeout: int | None = None) -> bool | None:
        """Wait until it has ended; with a timeout in seconds, whether it has."""
        if not self._done.wait(timeout):
            return False
        return True if self._query is None else self._query.awaitTermination(timeout)

    def stop(self) -> None:
        """Stop it, or stop waiting."""
        self._stopped.set()
        self._done.wait()
        if self._query is not None:
            self._query.stop()

    def _wait(self) -> None:
        self._problem = LakePulseError(f"{self.name} died while it waited to start: the log says of what")
        try:
            while self._query is None and not self._stopped.wait(self._pause_s):
                self._query = self._start() if self._is_ready() else None
            self._problem = None
        except LakePulseError as problem:
            self._problem = problem
        finally:
            self._done.set()
