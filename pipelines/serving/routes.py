"""What answers a path: one table of an application's paths, in which one part may name something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar
from urllib.parse import unquote

from pipelines.errors import RequestError, nearest

Found = TypeVar("Found")
NAMED = "{id}"
"""The part of a path that stands for a name."""


class Routes(Generic[Found]):
    """Paths, as in /users/{id}, with what answers each method."""

    def __init__(self, paths: Mapping[str, Mapping[str, Found]]) -> None:
        """`paths` is the whole table: path, then method."""
        self._paths = paths

    def find(self, method: str, path: str) -> tuple[str, Found, str]:
        """(the path of the table, what answers it, the name in it or an empty text).

        Raises RequestError 404 for a path that is not there, 405 for another method.

        >>> Routes({"/users/{id}": {"GET": "a user"}}).find("GET", "/users/u%2F7")
        ('/users/{id}', 'a user', 'u/7')
        """
        known, named = self._known(path)
        answers = self._paths.get(known)
        if answers is None:
            raise RequestError(404, f"there is no {path}{nearest(path, list(self._paths))}")
        if method not in answers:
            raise RequestError(405, f"{path} takes {', '.join(answers)}, not {method}")
        return known, answers[method], named

    def _known(self, path: str) -> tuple[str, str]:
        if path in self._paths:
            return path, ""
        words = path.split("/")
        for place, word in enumerate(words):
            pattern = "/".join([*words[:place], NAMED, *words[place + 1 :]])
            if word and pattern in self._paths:
                return pattern, unquote(word)
        return path, ""
