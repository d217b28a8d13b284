"""Declarations compiled: what states keep, what an event changes, how features are read, and one hash that
names all of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from pipelines.domain import Domain
from pipelines.features import program as p
from pipelines.features.compiling import Compiler
from pipelines.features.declarations import ALL, DECISION, ITEM, SESSION, SHOWN, Declaration
from pipelines.features.kinds.context import Position
from pipelines.features.kinds.counters import Count, Rate
from pipelines.features.kinds.session import Session
from pipelines.features.kinds.vectors import Covisited, HasVector, QueryMatch, VectorSimilarity
from pipelines.features.measures import Number
from pipelines.features.parsing import parse_features
from pipelines.features.program import Program
from pipelines.features.state import Layouts

FORMULAS = 1
"""Grows when the same declaration comes to mean another number, so that no model meets features it did not
learn."""
POPULARITY = "popularity"
OUTCOME_RATE = "outcome_rate"


@dataclass(frozen=True)
class Definitions:
    """A domain's features, compiled.

    `names` are the columns that `read` returns, in order; two baselines follow them (the candidate's outcomes
    so far and its smoothed outcome rate so far). `hash` names features and formulas, `layouts.hash` the shape
    of the stored records. `fixed` are the values that stand-ins such as the position take whenever a model
    ranks.
    """

    names: list[str]
    hash: str
    fixed: dict[str, float]
    events: dict[str, int]
    attributes: list[str]
    numbers: list[Number]
    program: Program
    layouts: Layouts
    content: str
    needs_vectors: bool

    def to_json(self) -> str:
        """Everything that gives a feature its meaning, as JSON: equal definitions give equal text."""
        return self.content

    def as_served(
        self, features: npt.NDArray[np.float32], names: Sequence[str] | None = None
    ) -> npt.NDArray[np.float32]:
        """A copy of `features[n, len(names)]`, of all features or those named, in which what is not known
        before ranking (the position) has its fixed value."""
        served, columns = features.copy(), list(self.names if names is None else names)
        for name in self.fixed.keys() & set(columns):
            served[:, columns.index(name)] = self.fixed[name]
        return served


def compile_definitions(domain: Domain) -> Definitions:
    """The domain's features, compiled. Raises DomainError when a declaration is wrong, see
    `parse_features`."""
    declared = parse_features(domain)
    events = event_codes(domain)
    compiler = Compiler(domain, events)
    for declaration in [*declared, *_baselines(domain)]:
        compiler.add(declaration)
    program, layouts = compiler.finish()
    content = _content(domain, declared, events)
    return Definitions(
        names=[declaration.name for declaration in declared],
        hash=hashlib.sha256(content.encode()).hexdigest()[:16],
        fixed={d.name: d.fixed for d in declared if isinstance(d, Position)},
        events=events,
        attributes=compiler.attributes,
        numbers=compiler.numbers,
        program=program,
        layouts=layouts,
        content=content,
        needs_vectors=_need_vectors(declared),
    )


def event_codes(domain: Domain) -> dict[str, int]:
    """Number of each event type of the domain, and of `shown` and `decision`. Raises DomainError for too many
    types."""
    if len(domain.event_types) > p.MAX_EVENT_TYPES:
        raise domain.error(
            "event_types", f"{len(domain.event_types)} types; features can tell {p.MAX_EVENT_TYPES} apart"
        )
    own = {name: code for code, name in enumerate(domain.event_types, p.FIRST_EVENT_CODE)}
    return {SHOWN: p.SHOWN_CODE, DECISION: p.DECISION_CODE} | own


def _baselines(domain: Domain) -> list[Declaration]:
    """What a ranker must beat, computed by the same kernel: outcomes so far, and their rate smoothed by 10
    imagined lists."""
    outcomes = tuple(domain.outcomes.gains)
    return [
        Count(name=POPULARITY, of=outcomes, by=(ITEM,), window=ALL),
        Rate(name=OUTCOME_RATE, of=outcomes, per=(SHOWN,), by=(ITEM,), smooth=10.0),
    ]


def _need_vectors(declared: list[Declaration]) -> bool:
    return any(isinstance(d, VectorSimilarity | Covisited | QueryMatch | HasVector) for d in declared)


def _content(domain: Domain, declared: list[Declaration], events: dict[str, int]) -> str:
    features: list[dict[str, Any]] = [msgspec.to_builtins(declaration) for declaration in declared]
    meaning = {
        "formulas": FORMULAS,
        "features": features,
        "events": events,
        "rewards": {name: kind.reward for name, kind in domain.event_types.items()},
        "attributes": {name: kind.kind for name, kind in domain.attributes.items()},
    }
    if _need_vectors(declared):
        meaning["vectors"] = msgspec.to_builtins(domain.vectors)
    if any(isinstance(d, Session) or SESSION in getattr(d, "by", ()) for d in declared):
        meaning["session_minutes"] = domain.session_minutes
    return json.dumps(meaning, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
