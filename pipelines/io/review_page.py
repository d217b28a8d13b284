"""The review page as one file without anything from elsewhere: markup, style and script of
`pipelines/serving/review`, and the policy that lets a browser run these alone."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from pipelines.serving.reviewing import Page


def page() -> Page:
    """The page and its Content-Security-Policy."""
    parts = files("pipelines.serving") / "review"
    markup, style, script = (
        (parts / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")
    )
    policy = "; ".join(
        [
            "default-src 'none'",
            f"style-src {_hash(style)}",
            f"script-src {_hash(script)}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    whole = markup.replace("/*style*/", style).replace("/*script*/", script)
    return Page(whole.encode(), policy)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
