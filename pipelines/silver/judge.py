"""The judge of one message: a typed record of one of three kinds, or every reason why it is none. No Spark,
no clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines.contracts.records import RECORDS, Field
from pipelines.domain import Domain, Pairs, Record, RecordKind
from pipelines.mapping import Getter, Router, compile_path
from pipelines.sections import Silver
from pipelines.silver import rules
from pipelines.silver.convert import Unfit, as_json, described, of_attribute, of_field
from pipelines.silver.parse import Source, Unreadable, parse, properties
from pipelines.silver.rules import Case, Limits, Rule

# Kind of an item's attribute -> the column of silver.items that holds it.
ATTRIBUTE_COLUMN = {
    "number": "numbers",
    "category": "categories",
    "text": "texts",
    "tags": "tags",
    "vector": "vectors",
}


@dataclass(frozen=True)
class Judged:
    """The judgement of one message. Good: `kind`, and `fields` by our names, times in milliseconds. Otherwise
    only `reasons`.

    `record` is the position of its record in the domain. `properties` among the fields holds what no mapping
    reads; `others` names these fields as the source does.
    """

    kind: RecordKind | None = None
    record: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


class Judge:
    """Judges messages by a domain and the limits of the settings.

    >>> from pipelines import settings
    >>> from pipelines.domain import load_domain
    >>> loaded = settings.load(environ={})
    >>> judge = Judge(load_domain("shop", loaded), loaded.silver)
    >>> judge.judge(b'{"event_id": "e1", "event_time": 1767225600000, "event_type": "view"}', None).reasons
    ('user_id is missing', 'item_id is missing on a view')
    """

    def __init__(self, domain: Domain, silver: Silver) -> None:
        """Compile the domain's mapping. Raises DomainError for a path or a constant that cannot be used."""
        self.domain, self.limits = domain, Limits.of(silver)
        self._router = Router(domain)
        self._mappings = [_Mapping(domain, index) for index in range(len(domain.records))]
        self._read = frozenset(root(path) for record in domain.records for path in paths_of(record))

    def judge(self, value: bytes | None, arrived_at_ms: int | None) -> Judged:
        """The judgement of a message's value that arrived then (None: unknown, and no time is in its
        future)."""
        try:
            source = parse(value, self._read, self.limits.most_bytes)
        except Unreadable as reason:
            return Judged(reasons=(str(reason),))
        index = self._router.index(source.record)
        if index is None:
            return Judged(reasons=(self._no_kind(source),))
        return self._mappings[index].judged(source, Case(arrived_at_ms, self.limits))

    def _no_kind(self, source: Source) -> str:
        seen: dict[str, list[str]] = {}
        for record in self.domain.records:
            for path, wanted in record.when.items():
                seen.setdefault(path, []).append(wanted)
        found = "; ".join(
            f"{path} is {described(compile_path(path)(source.record))}, not {' or '.join(wanted)}"
            for path, wanted in seen.items()
        )
        return f"no kind of record of {self.domain.name}: {found}"


def root(path: str) -> str:
    """The top-level field that a path goes through."""
    return path.partition(".")[0].partition("[")[0]


def paths_of(record: Record) -> list[str]:
    """Every path that a record's mapping reads."""
    attributes = record.attributes.list if isinstance(record.attributes, Pairs) else record.attributes
    return [*record.when, *record.fields.values(), *([attributes] if attributes else [])]


def rules_of(domain: Domain, kind: RecordKind) -> list[Rule]:
    """The rules for a kind of record, in the order in which reasons are given."""
    contract = RECORDS[kind]
    found = [rules.lacks(name) for name, declared in contract.items() if declared.required]
    found += [rules.is_too_long(name) for name in contract if name.endswith("_id")]
    if kind == "item":
        return [*found, rules.has_version_below_one]
    found += [rules.is_too_old, rules.is_ahead_of_its_arrival, rules.has_version_below_one]
    if kind == "decision":
        return [
            *found,
            rules.shows_nothing,
            rules.shows_too_much,
            rules.has_unfit_item_id,
            rules.has_odd_propensity,
        ]
    needed = [(name, needs) for name, declared in domain.event_types.items() for needs in declared.requires]
    return [
        *found,
        rules.has_unknown_type(domain),
        *(rules.lacks_what_its_type_needs(*pair) for pair in needed),
    ]


def constants_of(domain: Domain, index: int) -> dict[str, Any]:
    """The values that a record's fields have where a message has none. Raises DomainError for one of a wrong
    kind."""
    record = domain.records[index]
    constants: dict[str, Any] = {"schema_version": 1} if "schema_version" in RECORDS[record.kind] else {}
    for name, text in record.constants.items():
        try:
            constants[name] = of_field(RECORDS[record.kind][name], text, domain.time_unit)
        except Unfit as problem:
            raise domain.error(f"records[{index}].constants.{name}", problem.sentence(name)) from None
    return constants


class _Mapping:
    """One record of the domain, compiled: where its fields are, and by which rules it is judged."""

    def __init__(self, domain: Domain, index: int) -> None:
        record = domain.records[index]
        contract = RECORDS[record.kind]
        self.kind, self.index, self.unit = record.kind, index, domain.time_unit
        self.fields: list[tuple[str, Field, Getter]] = [
            (name, contract[name], compile_path(path)) for name, path in record.fields.items()
        ]
        self.constants = constants_of(domain, index)
        self.rules = rules_of(domain, record.kind)
        self.known = {root(path) for path in paths_of(record)}
        self.attributes = _Attributes(domain, record) if record.kind == "item" else None

    def judged(self, source: Source, case: Case) -> Judged:
        """The judgement of a source record of this kind."""
        case.fields |= self.constants
        reasons = list(self._read_fields(source.record, case))
        others = {name: bytes(text) for name, text in source.texts.items() if name not in self.known}
        kept = properties(others)
        if self.attributes is not None:
            kept = (kept or {}) | self.attributes.read(source.record, case, reasons) or None
        reasons += [reason for rule in self.rules if (reason := rule(case))]
        if reasons:
            return Judged(reasons=tuple(reasons))
        return Judged(self.kind, self.index, case.fields | {"properties": kept}, others=tuple(others))

    def _read_fields(self, record: dict[str, Any], case: Case) -> Iterator[str]:
        for name, declared, get in self.fields:
            value = get(record)
            if value is None:
                continue
            if value == "":
                case.empty.add(name)
                continue
            try:
                case.fields[name] = of_field(declared, value, self.unit)
            except Unfit as problem:
                case.unreadable.add(name)
                yield problem.sentence(name)


class _Attributes:
    """The attributes of an item: where they are, and which kind each has."""

    def __init__(self, domain: Domain, record: Record) -> None:
        self.where = record.attributes
        self.path = self.where.list if isinstance(self.where, Pairs) else self.where or ""
        self.get = compile_path(self.path) if self.path else None
        self.by_source = {a.source or name: (name, a) for name, a in domain.attributes.items()}

    def read(self, record: dict[str, Any], case: Case, reasons: list[str]) -> dict[str, str]:
        """Put the declared attributes into the case's fields and what is wrong into `reasons`; returns the
        others as JSON text."""
        columns: dict[str, dict[str, Any]] = {column: {} for column in ATTRIBUTE_COLUMN.values()}
        others: dict[str, str] = {}
        for name, value in self._pairs(record, reasons):
            if value is None:
                continue
            if name not in self.by_source:
                others[name] = as_json(value)
                continue
            ours, declared = self.by_source[name]
            try:
                typed = of_attribute(declared, value)
            except Unfit as problem:
                reasons.append(problem.sentence(f"attributes.{ours}"))
                continue
            if typed != "":
                columns[ATTRIBUTE_COLUMN[declared.kind]][ours] = typed
        case.fields |= columns
        return others

    def _pairs(self, record: dict[str, Any], reasons: list[str]) -> list[tuple[str, Any]]:
        given = self.get(record) if self.get else None
        if given is None:
            return []
        if isinstance(self.where, Pairs):
            keys = self.where.name, self.where.value
            if isinstance(given, list) and all(
                isinstance(e, dict) and isinstance(e.get(keys[0]), str) for e in given
            ):
                return [(element[keys[0]], element.get(keys[1])) for element in given]
            reasons.append(f"{self.path} is not a list of objects with a {keys[0]}")
        elif isinstance(given, dict):
            return list(given.items())
        else:
            reasons.append(f"{self.path} is {described(given)}, but should be an object")
        return []
