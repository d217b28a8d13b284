"""Who has an alias, asked of MLflow's REST API by one small request over a connection that is kept.

A process that ranks asks every few seconds, in a thread beside its requests; MLflow's own client takes six
times the CPU for the same question (figures in docs/decisions.md).
"""

from __future__ import annotations

import http.client
import threading
import urllib.parse
import urllib.request
import weakref
from collections.abc import Mapping

import msgspec

PATH = "/api/2.0/mlflow/registered-models/alias"
TIMEOUT_S = 2.0


class _Version(msgspec.Struct):
    version: str


class _Answer(msgspec.Struct):
    model_version: _Version


_decode = msgspec.json.Decoder(_Answer, strict=False).decode


class Alias:
    """Asks a server of plain HTTP without a proxy before it.

    It tells what it was told and nothing else: where there is no version, or the server wants credentials, or
    does not answer, it knows nothing. Whoever asks then asks MLflow's client, which has credentials, tries
    again, and says what is wrong.
    """

    def __init__(self, uri: str, headers: Mapping[str, str]) -> None:
        """`headers` go with each request. Nothing is asked yet."""
        where = urllib.parse.urlsplit(uri)
        self._path = where.path.rstrip("/") + PATH
        self._headers = dict(headers)
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        if where.scheme == "http" and where.hostname and not _has_proxy(where.hostname):
            self._connection = http.client.HTTPConnection(where.hostname, where.port, timeout=TIMEOUT_S)
            weakref.finalize(self, self._connection.close)

    def version(self, name: str, alias: str) -> str | None:
        """The version of the model that has the alias; None where that is not known."""
        if self._connection is None:
            return None
        query = urllib.parse.urlencode({"name": name, "alias": alias})
        with self._lock:
            content = self._content(self._connection, f"{self._path}?{query}")
        try:
            return _decode(content).model_version.version
        except msgspec.MsgspecError:
            return None

    def _content(self, connection: http.client.HTTPConnection, path: str) -> bytes:
        """What a request that succeeds is answered. A connection that the server has closed since the last
        one is opened once more."""
        for _ in range(2):
            is_kept = connection.sock is not None
            try:
                connection.request("GET", path, headers=self._headers)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                if is_kept:
                    continue
                return b""
            return content if answer.status == http.client.OK else b""
        return b""


def _has_proxy(host: str) -> bool:
    proxies = urllib.request.getproxies()
    return any(kind in proxies for kind in ("http", "all")) and not urllib.request.proxy_bypass(host)
