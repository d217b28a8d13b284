"""A domain: one shop in one YAML file, `conf/domains/<name>.yml` or any path. See docs/reference/domains.md.

It says which source records are interactions, decisions and items and where their fields are, which
attributes an item has, which events are outcomes of a decision, which features are computed, which vectors of
items they need, how the ranker is trained and which engagement metrics are published.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from pipelines.domain_checks import check
from pipelines.errors import DomainError, nearest
from pipelines.sections import Recipe
from pipelines.settings import Settings
from pipelines.vector_spaces import PARTS, VectorSpaces

AttributeKind = Literal["number", "category", "text", "tags", "vector"]
RecordKind = Literal["interaction", "decision", "item"]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Pairs(_Strict, frozen=True):
    """Attributes that a source writes as a list of `{name: …, value: …}` objects."""

    list: str
    name: str = "name"
    value: str = "value"


class Record(_Strict, frozen=True):
    """One kind of source record.

    `when` holds the source fields (paths) and values by which it is recognised; `fields` maps our field to
    the source's path (`a.b` for nesting, `items[].id` for each element), `constants` to a fixed text.
    `attributes` says where an item's attributes are: a path to an object of them, or to a list of name/value
    pairs.
    """

    kind: RecordKind
    fields: dict[str, str]
    when: dict[str, str] = {}
    constants: dict[str, str] = {}
    attributes: str | Pairs | None = None


class Attribute(_Strict, frozen=True):
    """An item's attribute: its kind, where the source calls it something else its `source` name, and a
    vector's length."""

    kind: AttributeKind
    source: str | None = None
    length: int | None = None


class EventType(_Strict, frozen=True):
    """A type of interaction: the fields it must carry, and its reward for preferences in [-1, 1]."""

    requires: tuple[str, ...] = ()
    reward: float = 0.0


class Outcomes(_Strict, frozen=True):
    """Which events after a decision count as its outcomes, with their gain for ranking, and how long
    after."""

    gains: dict[str, float]
    window_minutes: float


class Metric(_Strict, frozen=True):
    """An engagement metric per minute and segment. Exactly one of `count`, `distinct`, `sum`, `ratio` is
    given.

    `count`: an event type, `any` (every interaction), `decision`, or `shown` (items in decisions' lists).
    `distinct`: a field. `sum`: a number field, or `revenue` (price times quantity), over the event types
    `of`. `ratio`: names of two count metrics, numerator first.
    """

    name: str
    count: str | None = None
    distinct: str | None = None
    sum: str | None = None
    of: tuple[str, ...] = ()
    ratio: tuple[str, str] | None = None


class Domain(_Strict, frozen=True):
    """A shop, as its file describes it. Built by `load_domain`, which checks it; frozen."""

    name: str
    records: tuple[Record, ...]
    attributes: dict[str, Attribute]
    event_types: dict[str, EventType]
    outcomes: Outcomes
    features: tuple[dict[str, Any], ...]
    vectors: VectorSpaces | None = None
    description: str = ""
    time_unit: Literal["ms", "s", "iso8601"] = "ms"
    metrics: tuple[Metric, ...] = ()
    segments: tuple[str, ...] = ()
    session_minutes: float = 30.0
    defaults: dict[str, str] = {}
    training: dict[str, Any] = {}
    extends: str = ""
    origin: str = ""
    lines: dict[str, int] = {}

    def error(self, path: str, problem: str) -> DomainError:
        """An error about a key, given as `features[3].window`, with the file and the line it stands on."""
        return _located(self.origin, self.lines, path, problem)

    def over(self, settings: Settings) -> Settings:
        """The settings with what this shop sets for itself, its `training:`, instead of theirs."""
        types = typing.get_type_hints(Recipe)
        own = {key: msgspec.convert(value, types[key]) for key, value in self.training.items()}
        return dataclasses.replace(settings, training=dataclasses.replace(settings.training, **own))


def domain_names(settings: Settings) -> list[str]:
    """Names of the domains that the installation ships."""
    return sorted(p.stem for p in (settings.root / "conf" / "domains").glob("*.yml"))


def load_domain(name_or_path: str, settings: Settings) -> Domain:
    """The domain of that name in `conf/domains`, or of that file. Raises DomainError with file, line, key and
    the nearest known key."""
    is_path = name_or_path.endswith((".yml", ".yaml")) or "/" in name_or_path
    path = Path(name_or_path) if is_path else settings.root / "conf" / "domains" / f"{name_or_path}.yml"
    if not path.is_file():
        hint = "" if is_path else nearest(name_or_path, domain_names(settings))
        raise DomainError(f"no domain file {path}{hint}; known domains: {', '.join(domain_names(settings))}")
    return parse_domain(path.read_text(encoding="utf-8"), str(path))


def parse_domain(text: str, origin: str) -> Domain:
    """The domain that `text` describes; `origin` names the file in errors. Raises DomainError."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        raise DomainError(f"{origin}:{mark.line + 1 if mark else 1}: not YAML: {problem}") from None
    lines: dict[str, int] = {"": 1}
    _number_lines(root, "", lines, origin)
    content = yaml.safe_load(text)
    if not isinstance(content, dict):
        raise DomainError(
            f"{origin}:1: a domain file is a mapping with the keys {', '.join(_fields(Domain))}"
        )
    for reserved in ("origin", "lines"):
        if reserved in content:
            raise _located(origin, lines, reserved, f"unknown key '{reserved}'")
    content = _extended(content, origin, lines)
    try:
        domain = msgspec.convert(content | {"origin": origin, "lines": lines}, Domain)
    except msgspec.ValidationError as problem:
        raise _explained(str(problem), content, origin, lines) from None
    check(domain)
    return domain


def _extended(content: dict[str, Any], origin: str, lines: dict[str, int]) -> dict[str, Any]:
    """The content on top of that of the file beside it which `extends` names: whole keys, one file deep."""
    name = content.get("extends")
    if not isinstance(name, str):
        return content
    path = Path(origin).parent / f"{name}.yml"
    if not path.is_file():
        beside = sorted(p.stem for p in path.parent.glob("*.yml"))
        raise _located(origin, lines, "extends", f"no domain file {path}{nearest(name, beside)}")
    text = path.read_text(encoding="utf-8")
    base = yaml.safe_load(text)
    if isinstance(base, dict) and "extends" in base:
        raise _located(origin, lines, "extends", f"{path} extends another file itself: name that one")
    base_name = parse_domain(text, str(path)).name
    if content.get("name", base_name) == base_name:
        raise _located(origin, lines, "extends", "a domain that extends another needs a name of its own")
    return {**base, **content}


def _number_lines(node: yaml.Node | None, path: str, lines: dict[str, int], origin: str) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = f"{path}.{key.value}" if path else str(key.value)
            if below in lines:
                raise _located(
                    origin,
                    {below: key.start_mark.line + 1},
                    below,
                    f"'{key.value}' stands twice, first on line {lines[below]}",
                )
            lines[below] = key.start_mark.line + 1
            _number_lines(value, below, lines, origin)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[f"{path}[{index}]"] = value.start_mark.line + 1
            _number_lines(value, f"{path}[{index}]", lines, origin)


def _located(origin: str, lines: dict[str, int], path: str, problem: str) -> DomainError:
    known = path
    while known and known not in lines:
        known = re.sub(r"(\.[^.\[]*|\[\d+\]|^[^.\[]+)$", "", known)
    return DomainError(f"{origin}:{lines.get(known, 1)}: {path or 'the file'}: {problem}")


def _fields(struct: type) -> list[str]:
    return [f.name for f in msgspec.structs.fields(struct) if f.name not in ("origin", "lines")]


# Mappings from names to something else than texts.
_ENTRIES: dict[str, type] = {"attributes": Attribute, "event_types": EventType, "outcomes.gains": float}

_TYPE_AT: tuple[tuple[str, type], ...] = (
    (r"records\[\d+\]\.attributes", Pairs),
    (r"records\[\d+\]", Record),
    (r"attributes\..+", Attribute),
    (r"event_types\..+", EventType),
    (r"outcomes", Outcomes),
    (r"metrics\[\d+\]", Metric),
    *((rf"vectors\.{name}", part) for name, part in PARTS.items()),
    (r"vectors", VectorSpaces),
    (r"", Domain),
)


def _explained(message: str, content: dict[str, Any], origin: str, lines: dict[str, int]) -> DomainError:
    problem, _, where = message.partition(" - at `")
    path = where.rstrip("`").removeprefix("key in ").removeprefix("$").removeprefix(".")
    path = _named(path, content)
    unknown = re.search(r"unknown field `(.*)`", problem)
    if unknown:
        key, known = unknown.group(1), _fields(_struct_at(path))
        path = f"{path}.{key}" if path else key
        problem = f"unknown key '{key}'{nearest(key, known)}; known: {', '.join(known)}"
    choice = re.search(r"Invalid enum value '(.*)'", problem)
    if choice:
        parent, _, key = path.rpartition(".")
        known = _choices(typing.get_type_hints(_struct_at(parent))[key])
        problem = f"'{choice.group(1)}' is not one of {', '.join(known)}{nearest(choice.group(1), known)}"
    return _located(origin, lines, path, problem)


def _struct_at(path: str) -> type:
    return next(kind for pattern, kind in _TYPE_AT if re.fullmatch(pattern, path))


def _choices(hint: Any) -> list[str]:
    """The values that a `Literal` allows."""
    return [str(value) for value in typing.get_args(hint)]


def _named(path: str, content: dict[str, Any]) -> str:
    """The file's own path for msgspec's, which writes `[...]` for a key of a mapping: the first wrong one."""
    before, gap, after = path.partition("[...]")
    if not gap:
        return path
    mapping: Any = content
    for step in re.findall(r"[^.\[\]]+", before):
        mapping = mapping[int(step)] if isinstance(mapping, list) else mapping[step]
    kind = _ENTRIES.get(before, str)
    return next(
        (f"{before}.{name}{after}" for name, value in mapping.items() if not _is_a(value, kind)), before
    )


def _is_a(value: Any, kind: type) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
