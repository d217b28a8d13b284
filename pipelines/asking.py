"""One connection to a service that is asked again when it can answer later."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from pipelines.errors import RequestError, StackError

Kind = TypeVar("Kind")
AGAIN = (429, 503)


class Asker:
    """Asks one service. Raises RequestError for what the service refuses, and StackError when it does not
    answer after `tries`. It is for one thread: it keeps a connection open."""

    def __init__(
        self,
        address: str,
        token: str = "",
        timeout_s: float = 5.0,
        tries: int = 3,
        sleep: Callable[[float], None] = time.sleep,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """`address` as in http://127.0.0.1:8000. What can be answered later (429, 503, no answer) is asked
        again, at most `tries` times in all. `context` says whom to trust at an https address; without one,
        whom this machine trusts. Raises StackError for another kind of address.
        """
        parts = urlsplit(address)
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            self._connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout_s, context=context)
        elif parts.scheme == "http":
            self._connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
        else:
            raise StackError(f"{address!r} is no address of a service: write http://host:port or https://…")
        self._address, self._tries, self._sleep = address, tries, sleep
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def __enter__(self) -> Self:
        """The client itself; its connection is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next question opens it again."""
        self._connection.close()

    def ask(self, method: str, path: str, body: Any, kind: type[Kind], also: int = 0) -> Kind:
        """The answer, as a `kind`; `body` is sent as JSON. A refusal of status `also` is an answer too."""
        content = None if body is None else msgspec.json.encode(body)
        headers = self._headers | ({} if body is None else {"content-type": "application/json"})
        for left in range(self._tries - 1, -1, -1):
            try:
                self._connection.request(method, path, content, headers)
                answer = self._connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as problem:
                self._connection.close()
                if not left:
                    raise StackError(f"{self._address} does not answer: {problem}") from problem
                self._sleep(0.1)
                continue
            if answer.status not in AGAIN or not left:
                break
            self._sleep(float(answer.headers.get("retry-after") or 1))
        if answer.status >= http.client.BAD_REQUEST and answer.status != also:
            told = msgspec.json.decode(text, type=dict[str, Any])
            raise RequestError(answer.status, str(told.get("error", text.decode())))
        return msgspec.json.decode(text, type=kind)
