"""The `features:` list of a domain file, parsed and checked against the domain."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from pipelines.domain import Domain
from pipelines.errors import nearest
from pipelines.features import declarations as d
from pipelines.features.declarations import Declaration

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
            _check(domain, declaration, path, parsed)
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
    if kind not in d.KINDS:
        known = f"known kinds: {', '.join(d.KINDS)}"
        problem = (
            f"unknown kind '{kind}'{nearest(str(kind), list(d.KINDS))}"
            if "kind" in values
            else "a feature needs a kind"
        )
        raise domain.error(f"{path}.kind", f"{problem}; {known}")
    struct = d.KINDS[kind]
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
        raise domain.error(f"{path}.{key}" if key else path, text) from None


def _as_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _check(domain: Domain, declaration: Declaration, path: str, earlier: list[Declaration]) -> None:
    name = declaration.name
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        problem = f"'{name}' is no name: use a-z, 0-9 and _, at most 64, a letter first"
        raise domain.error(f"{path}.name", problem)
    for key in ("of", "per"):
        if isinstance(getattr(declaration, key, None), tuple):
            _check_events(domain, declaration, key, path)
    match declaration:
        case d.Count() | d.Rate() | d.Recency():
            _check_by(domain, declaration.by, f"{path}.by")
        case d.Preference() | d.Learned():
            _check_attribute(domain, declaration.by, d.VALUED, f"{path}.by")
        case d.Similarity():
            _check_attribute(domain, declaration.attribute, d.VALUED, f"{path}.attribute")
        case d.Taste():
            _check_attribute(domain, declaration.attribute, ("number",), f"{path}.attribute")
        case d.Attribute():
            _check_attribute(domain, declaration.of, ("number",), f"{path}.of")
        case d.Context():
            names = [other.name for other in earlier]
            if declaration.of not in names:
                problem = f"no feature '{declaration.of}' is declared above{nearest(declaration.of, names)}"
                raise domain.error(f"{path}.of", problem)
        case d.VectorSimilarity() | d.HasVector():
            _check_vectors(domain, declaration.space, f"{path}.space")
        case d.Covisited():
            _check_vectors(domain, "covisits", f"{path}.kind")
        case d.QueryMatch():
            _check_vectors(domain, "text", f"{path}.kind")
    _check_numbers(domain, declaration, path)


def _check_vectors(domain: Domain, part: str, path: str) -> None:
    built = domain.vectors.names if domain.vectors else []
    if part not in built:
        told = ", ".join(built) or "nothing"
        raise domain.error(
            path, f"needs `{part}`, but `vectors:` builds {told}: add `{part}` to that section"
        )


def _check_numbers(domain: Domain, declaration: Declaration, path: str) -> None:
    if isinstance(declaration, d.Count | d.Rate):
        try:
            d.window_ms(declaration.window)
        except ValueError as problem:
            raise domain.error(f"{path}.window", str(problem)) from None
    for key, (least, most) in d.RANGES.items():
        value = getattr(declaration, key, least)
        if not least <= value <= most:
            raise domain.error(f"{path}.{key}", f"must be between {least:g} and {most:g}, not {value:g}")


def _check_events(domain: Domain, declaration: Declaration, key: str, path: str) -> None:
    names: tuple[str, ...] = getattr(declaration, key)
    known = [d.SHOWN, d.DECISION, *domain.event_types]
    if not names:
        raise domain.error(f"{path}.{key}", f"names no event type; known: {', '.join(known)}")
    for name in names:
        if name not in known:
            problem = f"unknown event type '{name}'{nearest(name, known)}; known: {', '.join(known)}"
            raise domain.error(f"{path}.{key}", problem)
    if d.DECISION in names and getattr(declaration, "by", ()) not in ((d.ALL,), (d.USER,)):
        problem = "a decision is about its user: count it by user or all, or count `shown`"
        raise domain.error(f"{path}.{key}", problem)


def _check_by(domain: Domain, by: tuple[str, ...], path: str) -> None:
    attributes = [name for name, a in domain.attributes.items() if a.kind in d.VALUED]
    if by in ((d.ALL,), (d.ITEM,), (d.USER,), (d.USER, d.ITEM)):
        return
    whose = by[1:] if by[:1] == (d.USER,) else by
    if len(whose) != 1:
        raise domain.error(path, "give all, item, user, an attribute, [user, item] or [user, <attribute>]")
    known = [d.ALL, d.ITEM, d.USER, *attributes]
    if whose[0] not in known:
        problem = f"nothing to count by called '{whose[0]}'{nearest(whose[0], known)}"
        raise domain.error(path, f"{problem}; known: {', '.join(known)}")
    if whose[0] not in attributes:
        raise domain.error(path, f"[user, {whose[0]}] is nothing: give [user, item] or [user, <attribute>]")


def _check_attribute(domain: Domain, name: str, kinds: tuple[str, ...], path: str) -> None:
    known = list(domain.attributes)
    if name not in known:
        problem = f"the domain has no attribute '{name}'{nearest(name, known)}"
        raise domain.error(path, f"{problem}; known: {', '.join(known)}")
    kind = domain.attributes[name].kind
    if kind not in kinds:
        raise domain.error(path, f"'{name}' is of kind {kind}; this needs {' or '.join(kinds)}")
