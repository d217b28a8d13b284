"""What must hold between the parts of a domain file, beyond the type of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_type_hints

import msgspec

from pipelines.contracts.records import RECORDS
from pipelines.errors import nearest
from pipelines.sections import OBJECTIVES, Recipe
from pipelines.vector_spaces import check_vectors

if TYPE_CHECKING:
    from pipelines.domain import Domain, Record

REVENUE = "revenue"


def check(domain: Domain) -> None:
    """Raise DomainError, with file, line and key, for the first thing that does not hold together."""
    for index, record in enumerate(domain.records):
        _check_record(domain, record, f"records[{index}]")
        if not record.when and index < len(domain.records) - 1:
            problem = "without `when` it takes every record, and the ones below none: put it last"
            raise domain.error(f"records[{index}]", problem)
    if not 1 <= domain.session_minutes <= 1440:
        raise domain.error("session_minutes", f"must be between 1 and 1440, not {domain.session_minutes:g}")
    kinds = {r.kind for r in domain.records}
    if "interaction" not in kinds:
        raise domain.error(
            "records", "no record of kind interaction: a shop without behaviour cannot be learnt from"
        )
    for name, attribute in domain.attributes.items():
        if (attribute.kind == "vector") != (attribute.length is not None):
            raise domain.error(f"attributes.{name}", "a vector needs `length`, and nothing else has one")
    for name, event_type in domain.event_types.items():
        for needed in event_type.requires:
            if needed not in RECORDS["interaction"]:
                raise domain.error(f"event_types.{name}.requires", _unknown_field(needed, "interaction"))
    for name in domain.outcomes.gains:
        if name not in domain.event_types:
            raise domain.error(
                f"outcomes.gains.{name}", f"unknown event type{nearest(name, list(domain.event_types))}"
            )
    _check_metrics(domain)
    _check_training(domain)
    if domain.vectors:
        check_vectors(domain, domain.vectors)


def _unknown_field(name: str, kind: str) -> str:
    known = list(RECORDS[kind])
    return f"{kind} has no field '{name}'{nearest(name, known)}; known: {', '.join(known)}"


def _check_record(domain: Domain, record: Record, path: str) -> None:
    known = RECORDS[record.kind]
    for group, given in (("fields", record.fields), ("constants", record.constants)):
        for name in given:
            if name not in known:
                raise domain.error(f"{path}.{group}.{name}", _unknown_field(name, record.kind))
    missing = [
        n for n, f in known.items() if f.required and n not in record.fields and n not in record.constants
    ]
    if missing:
        raise domain.error(f"{path}.fields", f"{record.kind} needs {', '.join(missing)}")
    constant = record.constants.get("event_type")
    if constant is not None and constant not in domain.event_types:
        hint = nearest(constant, list(domain.event_types))
        raise domain.error(f"{path}.constants.event_type", f"unknown event type '{constant}'{hint}")
    if record.attributes is not None and record.kind != "item":
        raise domain.error(f"{path}.attributes", "only an item has attributes")


def _check_metrics(domain: Domain) -> None:
    names = [m.name for m in domain.metrics]
    counts = [m.name for m in domain.metrics if m.count]
    known_counts = [*domain.event_types, "any", "decision", "shown"]
    for index, metric in enumerate(domain.metrics):
        path = f"metrics[{index}]"
        given = [k for k in ("count", "distinct", "sum", "ratio") if getattr(metric, k) is not None]
        if len(given) != 1:
            raise domain.error(path, f"give exactly one of count, distinct, sum, ratio, not {given}")
        if names.index(metric.name) != index:
            raise domain.error(f"{path}.name", f"metric '{metric.name}' is declared twice")
        if metric.count is not None and metric.count not in known_counts:
            raise domain.error(
                f"{path}.count",
                f"nothing to count called '{metric.count}'{nearest(metric.count, known_counts)}",
            )
        for part in metric.ratio or ():
            if part not in counts:
                raise domain.error(f"{path}.ratio", f"no count metric '{part}'{nearest(part, counts)}")
        for part in metric.of:
            if part not in domain.event_types:
                raise domain.error(
                    f"{path}.of", f"unknown event type '{part}'{nearest(part, list(domain.event_types))}"
                )
        if metric.distinct is not None and metric.distinct not in RECORDS["interaction"]:
            raise domain.error(f"{path}.distinct", _unknown_field(metric.distinct, "interaction"))
        sums = [REVENUE, *(n for n, f in RECORDS["interaction"].items() if f.kind in ("integer", "number"))]
        if metric.sum is not None and metric.sum not in sums:
            hint = nearest(metric.sum, sums)
            raise domain.error(f"{path}.sum", f"'{metric.sum}' is not a number of an interaction{hint}")
    categories = ["source", *(n for n, a in domain.attributes.items() if a.kind in ("category", "tags"))]
    for index, segment in enumerate(domain.segments):
        if segment not in categories:
            raise domain.error(
                f"segments[{index}]",
                f"'{segment}' is neither source nor a category{nearest(segment, categories)}",
            )


def _check_training(domain: Domain) -> None:
    types = get_type_hints(Recipe)
    for key, value in domain.training.items():
        path = f"training.{key}"
        if key not in types:
            told = f"a shop sets no '{key}'{nearest(key, list(types))}; known: {', '.join(types)}"
            raise domain.error(path, told)
        try:
            given = msgspec.convert(value, types[key])
        except msgspec.ValidationError as problem:
            raise domain.error(path, str(problem)) from None
        if isinstance(given, str):
            _check_objective(domain, given, path)
        elif given < (least := _least(key, types[key])):
            raise domain.error(path, f"must be {least:g} or more, not {given:g}")


def _least(key: str, kind: type) -> float:
    if key == "early_stopping":
        return 0
    return 1 if kind is int else 1e-6


def _check_objective(domain: Domain, given: str, path: str) -> None:
    if given not in OBJECTIVES:
        told = f"'{given}' is not one of {', '.join(OBJECTIVES)}{nearest(given, list(OBJECTIVES))}"
        raise domain.error(path, told)
