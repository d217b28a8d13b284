"""Who may reach a service over HTTP, and its TLS."""

from __future__ import annotations

import ssl
from ipaddress import ip_address

from pipelines.errors import SettingsError
from pipelines.sections import Serving

BACKLOG = 1024


def check_open(host: str, has_tokens: bool, insecure: bool, setting: str = "serving.host") -> None:
    """Raise SettingsError for an address that others can reach while nobody needs a token.

    >>> check_open("127.0.0.1", has_tokens=False, insecure=False)
    """
    is_loopback = host == "localhost" or (
        (host[:1].isdigit() or ":" in host) and ip_address(host).is_loopback
    )
    if not (has_tokens or insecure or is_loopback):
        raise SettingsError(
            f"{setting} is {host}, which others can reach, and there are no tokens: set serving.tokens, "
            "or start with --insecure"
        )


def tls_of(serving: Serving) -> ssl.SSLContext | None:
    """What speaks TLS with the settings' certificate; None without one. Raises SettingsError for one that
    cannot be used."""
    if not serving.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(serving.tls_certificate, serving.tls_key or None)
    except (OSError, ssl.SSLError) as problem:
        raise SettingsError(
            f"serving.tls_certificate {serving.tls_certificate} with serving.tls_key "
            f"{serving.tls_key or '(none)'} cannot be used: {problem}"
        ) from None
    return context
