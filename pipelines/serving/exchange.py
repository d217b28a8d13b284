"""What goes over the wire: a request, an answer, and what stands between them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

JSON = "application/json"


@dataclass(slots=True)
class Asked:
    """A request: `path` as it was sent, `headers` with names in lower case, the client's address; `body` is
    empty until `complete` (seconds of `time.perf_counter`, as `came` of the headers) is set."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    client: str
    came: float
    complete: float = 0.0
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The header's value; the last one's where it was sent several times."""
        value = self.headers.get(name.encode())
        return None if value is None else value.decode("latin-1")


class Answer(msgspec.Struct, frozen=True):
    """A status, a body and its type, other headers, and what is to be done once it is on its way."""

    status: int
    body: bytes
    kind: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    after: Callable[[], None] | None = None


class Application(Protocol):
    """What answers. A ticket is anything but an Answer; each one is either finished or abandoned."""

    most_bytes: int

    def begin(self, asked: Asked) -> object:
        """A ticket for a request whose body may come, or the Answer that refuses it."""

    def too_large(self, ticket: Any, size: int) -> Answer:
        """The refusal of a body of that many bytes or more."""

    def answer(self, ticket: Any) -> Answer | Awaitable[Answer]:
        """The answer, now or later. Raises nothing that a client could be told."""

    def finish(self, ticket: Any, answer: Answer) -> None:
        """The answer is on its way."""

    def abandon(self, ticket: Any) -> None:
        """The client is gone."""
