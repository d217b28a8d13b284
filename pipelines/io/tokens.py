"""The file of bearer tokens."""

from __future__ import annotations

from pathlib import Path

from pipelines.errors import SettingsError
from pipelines.serving.access import Token, parse_tokens
from pipelines.settings import Settings


def tokens(settings: Settings) -> str | None:
    """The text of the tokens' file; None without one."""
    path = Path(settings.serving.tokens) if settings.serving.tokens else settings.state / "tokens"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def known_tokens(settings: Settings) -> list[Token] | None:
    """The tokens of that file; None without one. Raises SettingsError for a wrong line, and where the
    settings name a file that is not there."""
    text = tokens(settings)
    if text is None and settings.serving.tokens:
        raise SettingsError(f"there is no file of tokens {settings.serving.tokens}")
    return None if text is None else parse_tokens(text, settings.serving.tokens or "tokens")
