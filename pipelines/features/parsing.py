"""The `features:` list of a domain file, parsed and checked against the domain."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import msgspec

from pipelines.domain import Domain
from pipelines.errors import nearest
from pipelines.features import declarations as d
from pipelines.features.checks import Checker
from pipelines.features.declarations import Declaration
from pipelines.features.kinds import KINDS

CHOICES = ("window", "aggregate", "measure", "wave")
"""Keys that may hold a list: the declaration then stands for one feature for each value, which ends its
name."""


def parse_features(domain: Domain) -> list[Declaration]:
    """The domain's declarations in their order, lists of choices written out.

    Raises DomainError with file, line and key for everything that cannot be computed: an unknown kind, key,
    event type, attribute or feature, a window outside 5 min to 90 days, two features of one name.
    """
    parsed: list[Declaration] = []
    lines: dict[str, int] = {}
    for index, written in enumerate(domain.features):
        for values in _written_out(written):
            path = f"features[{index}]"
            declaration = _parsed(domain, values, path)
            if declaration.name in lines:
                raise domain.error(f"{path}.name", f"feature '{declaration.name}' is declared twice")
            lines[declaration.name] = index
            _check(declaration, Checker(domain, path, [other.name for other in parsed]))
            parsed.append(declaration)
    return parsed


def _written_out(written: dict[str, Any]) -> Iterator[dict[str, Any]]:
    choices = {key: written[key] for key in CHOICES if isinstance(written.get(key), list)}
    for chosen in itertools.product(*choices.values()):
        suffix = "".join(f"_{value}" for value in chosen)
        name = {"name": f"{written['name']}{suffix}"} if "name" in written else {}
        yield written | name | dict(zip(choices, chosen, strict=True))


def _parsed(domain: Domain, values: dict[str, Any], path: str) -> Declaration:
    kind = values.get("kind")
    if kind not in KINDS:
        known = f"known kinds: {', '.join(KINDS)}"
        problem = (
            f"unknown kind '{kind}'{nearest(str(kind), list(KINDS))}"
            if "kind" in values
            else "a feature needs a kind"
        )
        raise domain.error(f"{path}.kind", f"{problem}; {known}")
    struct = KINDS[kind]
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for key in values:
        if key not in fields and key != "kind":
            keys = f"known: {', '.join(fields)}"
            raise domain.error(
                f"{path}.{key}", f"{kind} has no key '{key}'{nearest(key, list(fields))}; {keys}"
            )
    plain = {
        key: _as_many(value) if fields.get(key) == tuple[str, ...] else value for key, value in values.items()
    }
    try:
        return msgspec.convert(plain, struct)
    except msgspec.ValidationError as problem:
        text, _, where = str(problem).partition(" - at `$.")
        key = re.split(r"[.\[`]", where)[0]
        told = f"{text}{_known_words(fields.get(key), values.get(key))}"
        raise domain.error(f"{path}.{key}" if key else path, told) from None


def _known_words(kind: Any, value: Any) -> str:
    """What a key takes that takes a few words only, and which of them is near the value."""
    words = list(get_args(kind)) if get_origin(kind) is Literal else []
    return f"{nearest(str(value), words)}; known: {', '.join(words)}" if words else ""


def _as_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _check(declaration: Declaration, checker: Checker) -> None:
    name = declaration.name
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        problem = f"'{name}' is no name: use a-z, 0-9 and _, at most 64, a letter first"
        raise checker.domain.error(f"{checker.path}.name", problem)
    for key in ("of", "per"):
        names = getattr(declaration, key, None)
        if isinstance(names, tuple):
            checker.events(key, names, getattr(declaration, "by", ()))
    declaration.check(checker)
    window = getattr(declaration, "window", None)
    if isinstance(window, str):
        checker.window("window", window)
    for key in d.RANGES:
        if hasattr(declaration, key):
            checker.number(key, getattr(declaration, key))
