"""The `features:` list of a domain file, parsed and checked. docs/reference/features.md has an example of
each kind."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from pipelines.domain import Domain
from pipelines.errors import DomainError, nearest

SHOWN = "shown"
"""What happens to each item of a decision's list; counted like an event type."""
DECISION = "decision"
"""A decision itself, once for its user."""
ALL = "all"
ITEM = "item"
USER = "user"

SLOTS = 128
"""How many values (or items) a user's record keeps apart by default: those touched last."""
MAX_SLOTS = 1024
MAX_LAST = 128

Aggregate = Literal["mean", "max", "min", "sum"]


class Declaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What every kind of feature has: a name that no other feature of the domain has."""

    name: str


class Attribute(Declaration, frozen=True, tag="attribute"):
    """The candidate's number attribute, or its logarithm log(1 + x)."""

    of: str
    log: bool = False


class Count(Declaration, frozen=True, tag="count"):
    """How often `of` happened in the window to what `by` names, or log(1 + that)."""

    of: tuple[str, ...]
    by: tuple[str, ...]
    window: str = ALL
    aggregate: Aggregate = "mean"
    log: bool = False
    slots: int = SLOTS


class Rate(Declaration, frozen=True, tag="rate"):
    """`of` per `per` in the window, smoothed by `smooth` imagined `per` at the rate of everything so far."""

    of: tuple[str, ...]
    by: tuple[str, ...]
    per: tuple[str, ...] = (SHOWN,)
    window: str = ALL
    smooth: float = 10.0
    aggregate: Aggregate = "mean"
    slots: int = SLOTS


class Preference(Declaration, frozen=True, tag="preference"):
    """How much more often than expected the user does `of` per `per` with items of the candidate's attribute
    values."""

    of: tuple[str, ...]
    by: str
    per: tuple[str, ...] = (SHOWN,)
    smooth: float = 3.0
    aggregate: Aggregate = "mean"
    slots: int = SLOTS


class Learned(Declaration, frozen=True, tag="learned"):
    """The user's value Q of the candidate's attribute values: Q += a (R - Q) with the domain's rewards R, a =
    max(1/n, rate)."""

    of: tuple[str, ...]
    by: str
    rate: float = 0.1
    aggregate: Aggregate = "mean"
    slots: int = SLOTS


class Recency(Declaration, frozen=True, tag="recency"):
    """log(1 + seconds) since `of` last happened to what `by` names."""

    of: tuple[str, ...]
    by: tuple[str, ...]
    aggregate: Aggregate = "min"
    slots: int = SLOTS


class Similarity(Declaration, frozen=True, tag="similarity"):
    """Jaccard overlap of the candidate's attribute values with those of the user's `last` items with `of`."""

    of: tuple[str, ...]
    attribute: str
    last: int = 16
    aggregate: Aggregate = "mean"


class Taste(Declaration, frozen=True, tag="taste"):
    """The candidate's number attribute against the mean over the user's items with `of`, shrunk to that over
    `per`."""

    of: tuple[str, ...]
    attribute: str
    per: tuple[str, ...] = (SHOWN,)
    smooth: float = 3.0
    log: bool = False
    measure: Literal["distance", "difference", "lean"] = "distance"


class Position(Declaration, frozen=True, tag="position"):
    """The place in the shown list, from 1, when a model learns; `fixed` whenever it ranks."""

    fixed: float = 1.0


class Time(Declaration, frozen=True, tag="time"):
    """Where in its cycle the moment of the decision is, in UTC, as a point of a circle."""

    cycle: Literal["day", "week"]
    wave: Literal["sin", "cos"]


class Context(Declaration, frozen=True, tag="context"):
    """Another feature `of` the candidate against the same feature of the whole list."""

    of: str
    measure: Literal["mean", "std", "zscore", "rank", "difference"] = "zscore"


KINDS: dict[str, type[Declaration]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        Attribute,
        Count,
        Rate,
        Preference,
        Learned,
        Recency,
        Similarity,
        Taste,
        Position,
        Time,
        Context,
    )
}
CHOICES = ("window", "aggregate", "measure", "wave")
"""Keys that may hold a list: the declaration then stands for one feature for each value, which ends its
name."""
WINDOW_UNITS = {"min": 60_000, "h": 3_600_000, "d": 86_400_000}
BUCKETS = ((2 * 3_600_000, 300_000), (2 * 86_400_000, 3_600_000), (90 * 86_400_000, 86_400_000))
"""(longest window, length of its buckets) in ms."""


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


def window_ms(window: str) -> int:
    """Length of a window such as 5min, 1h or 30d in ms; 0 for `all`. Raises ValueError with the reason for
    any other text."""
    if window == ALL:
        return 0
    match = re.fullmatch(r"(\d{1,6})(min|h|d)", window)
    if not match:
        raise ValueError(
            f"'{window}' is no window: write a number and min, h or d, such as 5min, 1h, 30d, or all"
        )
    length = int(match[1]) * WINDOW_UNITS[match[2]]
    if not BUCKETS[0][1] <= length <= BUCKETS[-1][0]:
        raise ValueError(f"a window of {window} is outside 5min to 90d; use all for everything so far")
    if length % bucket_ms(length):
        raise ValueError(
            f"a window of {window} is no multiple of its buckets of {bucket_ms(length) // 60_000} min"
        )
    return length


def bucket_ms(length: int) -> int:
    """Length of the buckets in which a window of that many ms is counted; 0 for a window without end."""
    return next(bucket for longest, bucket in BUCKETS if length <= longest) if length else 0


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
        raise domain.error(f"{path}.{key}" if key else path, text) from None


def _as_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _check(domain: Domain, declaration: Declaration, path: str, earlier: list[Declaration]) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", declaration.name):
        raise domain.error(
            f"{path}.name", f"'{declaration.name}' is no name: use a-z, 0-9 and _, at most 64, a letter first"
        )
    for key in ("of", "per"):
        if isinstance(getattr(declaration, key, None), tuple):
            _check_events(domain, getattr(declaration, key), f"{path}.{key}")
    if isinstance(declaration, Count | Rate | Recency):
        _check_by(domain, declaration.by, f"{path}.by")
    if isinstance(declaration, Preference | Learned):
        _check_attribute(domain, declaration.by, ("category", "tags"), f"{path}.by")
    if isinstance(declaration, Similarity):
        _check_attribute(domain, declaration.attribute, ("category", "tags"), f"{path}.attribute")
    if isinstance(declaration, Taste):
        _check_attribute(domain, declaration.attribute, ("number",), f"{path}.attribute")
    if isinstance(declaration, Attribute):
        _check_attribute(domain, declaration.of, ("number",), f"{path}.of")
    _check_numbers(domain, declaration, path)
    if isinstance(declaration, Context):
        names = [d.name for d in earlier]
        if declaration.of not in names:
            problem = f"no feature '{declaration.of}' is declared above{nearest(declaration.of, names)}"
            raise domain.error(f"{path}.of", problem)


def _check_numbers(domain: Domain, declaration: Declaration, path: str) -> None:
    if isinstance(declaration, Count | Rate):
        try:
            window_ms(declaration.window)
        except ValueError as problem:
            raise domain.error(f"{path}.window", str(problem)) from None
    if isinstance(declaration, Rate | Preference | Taste) and not 0 <= declaration.smooth <= 1e9:
        raise domain.error(f"{path}.smooth", f"must be between 0 and 1e9, not {declaration.smooth}")
    if isinstance(declaration, Learned) and not 0 < declaration.rate <= 1:
        raise domain.error(f"{path}.rate", f"must be above 0 and at most 1, not {declaration.rate}")
    if isinstance(declaration, Similarity) and not 1 <= declaration.last <= MAX_LAST:
        raise domain.error(f"{path}.last", f"must be between 1 and {MAX_LAST}, not {declaration.last}")


def _check_events(domain: Domain, names: tuple[str, ...], path: str) -> None:
    known = [SHOWN, *domain.event_types]
    if not names:
        raise domain.error(path, f"names no event type; known: {', '.join(known)}")
    for name in names:
        if name not in known:
            raise domain.error(
                path, f"unknown event type '{name}'{nearest(name, known)}; known: {', '.join(known)}"
            )


def _check_by(domain: Domain, by: tuple[str, ...], path: str) -> None:
    attributes = [name for name, a in domain.attributes.items() if a.kind in ("category", "tags")]
    if by in ((ALL,), (ITEM,), (USER,), (USER, ITEM)):
        return
    whose = by[1:] if by[:1] == (USER,) else by
    if len(whose) != 1:
        raise domain.error(path, "give all, item, user, an attribute, [user, item] or [user, <attribute>]")
    known = [ALL, ITEM, USER, *attributes]
    if whose[0] not in known:
        raise domain.error(
            path,
            f"nothing to count by called '{whose[0]}'{nearest(whose[0], known)}; known: {', '.join(known)}",
        )
    if whose[0] not in attributes:
        raise domain.error(path, f"[user, {whose[0]}] is nothing: give [user, item] or [user, <attribute>]")


def _check_attribute(domain: Domain, name: str, kinds: tuple[str, ...], path: str) -> None:
    if name not in domain.attributes:
        hint = nearest(name, list(domain.attributes))
        raise domain.error(
            path, f"the domain has no attribute '{name}'{hint}; known: {', '.join(domain.attributes)}"
        )
    kind = domain.attributes[name].kind
    if kind not in kinds:
        raise domain.error(path, f"'{name}' is of kind {kind}; this needs {' or '.join(kinds)}")


__all__ = [
    "ALL",
    "ITEM",
    "KINDS",
    "SHOWN",
    "USER",
    "Declaration",
    "DomainError",
    "parse_features",
    "window_ms",
]
