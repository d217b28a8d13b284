"""Who may ask what, and how often."""

import pytest

from pipelines.errors import RequestError, SettingsError
from pipelines.serving.access import Access, Rates, digest_of, parse_tokens
from pipelines.serving.server import check_open

FILE = f"""
# name     sha256   scopes
shop  {digest_of("one")} rank,events
boss  {digest_of("two")} admin
"""


def test_tokens_open_what_they_are_for():
    access = Access(parse_tokens(FILE, "tokens"))
    assert access.check("Bearer one", "rank") == "shop"
    assert access.check("bearer two ", "admin") == "boss"
    for given, scope, status in (
        ("Bearer one", "admin", 403),
        ("Bearer three", "rank", 401),
        (None, "rank", 401),
    ):
        with pytest.raises(RequestError) as refused:
            access.check(given, scope)
        assert refused.value.status == status


def test_a_revoked_token_opens_nothing_more():
    access = Access(parse_tokens(FILE, "tokens"))
    access.tokens = [token for token in access.tokens if token.name != "shop"]
    with pytest.raises(RequestError, match="was revoked"):
        access.check("Bearer one", "rank")


def test_without_tokens_everybody_may_do_everything():
    assert Access(None).check(None, "admin") == ""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("shop", r"tokens:1: a token is `name sha256-in-hex scope,scope`"),
        ("shop abc rank", r"tokens:1: a token is"),
        (f"shop {digest_of('x')} ranks", r"tokens:1: no scope 'ranks'; did you mean 'rank'\?"),
    ],
)
def test_a_wrong_line_of_the_file_is_told(line, message):
    with pytest.raises(SettingsError, match=message):
        parse_tokens(line, "tokens")


def test_an_address_that_others_reach_needs_tokens():
    for host in ("127.0.0.1", "::1", "localhost"):
        check_open(host, has_tokens=False, insecure=False)
    for host in ("0.0.0.0", "10.0.0.7", "shop.example"):
        check_open(host, has_tokens=True, insecure=False)
        check_open(host, has_tokens=False, insecure=True)
        with pytest.raises(SettingsError, match=r"set serving.tokens, or start with --insecure"):
            check_open(host, has_tokens=False, insecure=False)


def test_a_client_has_its_own_rate():
    rates = Rates(2.0)
    for _ in range(4):
        rates.take("a", 100.0)
    with pytest.raises(RequestError) as refused:
        rates.take("a", 100.0)
    assert (refused.value.status, refused.value.retry_after_s) == (429, 1)
    rates.take("b", 100.0)
    rates.take("a", 100.5)
    with pytest.raises(RequestError):
        rates.take("a", 100.5)
