"""Who may ask what, and how often."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from dataclasses import dataclass

from pipelines.errors import RequestError, SettingsError, nearest

SCOPES = ("rank", "events", "review", "admin")
MOST_CLIENTS = 10_000
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Token:
    """A bearer token that the service knows, by its SHA-256."""

    name: str
    digest: str
    scopes: frozenset[str]


def digest_of(token: str) -> str:
    """What the tokens' file keeps of a token. Tokens are long and random, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def parse_tokens(text: str, origin: str) -> list[Token]:
    """The tokens of a file: a line each, `name sha256 scope,scope`; `#` begins a comment. Raises
    SettingsError with the line.

    >>> parse_tokens("shop " + "0" * 64 + " rank,events", "tokens")[0].name
    'shop'
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 3 or not _DIGEST.fullmatch(words[1]):
            raise SettingsError(f"{origin}:{number}: a token is `name sha256-in-hex scope,scope`")
        scopes = words[2].split(",")
        for scope in scopes:
            if scope not in SCOPES:
                raise SettingsError(
                    f"{origin}:{number}: no scope {scope!r}{nearest(scope, SCOPES)}; scopes: "
                    f"{', '.join(SCOPES)}"
                )
        found.append(Token(words[0], words[1], frozenset(scopes)))
    return found


class Access:
    """Checks bearer tokens; without any, everybody may do everything (see `launch`: on loopback only)."""

    def __init__(self, tokens: list[Token] | None) -> None:
        """None: open to everybody."""
        self.tokens = tokens

    def check(self, authorization: str | None, scope: str) -> str:
        """The name of the client. Raises RequestError 401 without a known token, 403 without the scope."""
        if self.tokens is None:
            return ""
        kind, _, token = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise RequestError(401, "send a token: `Authorization: Bearer …`")
        given = digest_of(token.strip())
        known: Token | None = None
        for one in self.tokens:  # all of them, always: the time tells nothing of a token
            if hmac.compare_digest(one.digest, given):
                known = one
        if known is None:
            raise RequestError(401, "this token is not known, or was revoked")
        if scope not in known.scopes:
            raise RequestError(403, f"the token {known.name} has no scope {scope}")
        return known.name


class Rates:
    """A bucket of requests for each client, refilled `rate` times a second, twice that in store at most."""

    def __init__(self, rate: float) -> None:
        """0: no limit."""
        self._rate = rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now_s: float) -> None:
        """Count a request. Raises RequestError 429 when the client's bucket is empty."""
        if not self._rate:
            return
        left, since = self._buckets.get(client, (2 * self._rate, now_s))
        left = min(2 * self._rate, left + (now_s - since) * self._rate)
        self._buckets[client] = (left - 1 if left >= 1 else left, now_s)
        self._buckets.move_to_end(client)
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        if left < 1:
            raise RequestError(
                429,
                f"more than {self._rate:g} requests a second from this client",
                max(1, round((1 - left) / self._rate)),
            )
