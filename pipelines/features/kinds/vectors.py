"""Kinds that compare vectors and texts of items; their kernels are in `vectors_kernel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pipelines.features import program as p
from pipelines.features.declarations import Declaration
from pipelines.features.needs import AGGREGATES, Reading
from pipelines.features.vectors_kernel import BEHAVIOUR, BM25, COSINE_OF_TEXT, IMAGE, TEXT

if TYPE_CHECKING:
    from pipelines.features.checks import Checker
    from pipelines.features.compiling import Compiler

SPACES = {"text": TEXT, "behaviour": BEHAVIOUR, "image": IMAGE}


class VectorSimilarity(Declaration, frozen=True, tag="vector_similarity"):
    """Cosine of the candidate's vector with those of the user's `last` items with `of`: with their mean, or
    the largest with one of them."""

    space: Literal["text", "behaviour", "image"]
    of: tuple[str, ...]
    last: int = 16
    aggregate: Literal["mean", "max"] = "mean"

    def check(self, checker: Checker) -> None:
        """A space that is built."""
        checker.vectors("space", self.space)

    def reading(self, compiler: Compiler) -> Reading:
        """A ring, and the vectors of its items."""
        ring, how = compiler.ring(self.of, self.last), AGGREGATES[self.aggregate]
        return Reading(p.TO_LATEST, key=SPACES[self.space], aggregate=how, arg=ring, buckets=self.last)


class Covisited(Declaration, frozen=True, tag="covisited"):
    """How much more, or less, the candidate is wanted by users who did `of` with the user's `last` items with
    `of`."""

    of: tuple[str, ...]
    last: int = 16
    aggregate: Literal["sum", "max"] = "sum"

    def check(self, checker: Checker) -> None:
        """Neighbours that are built."""
        checker.vectors("kind", "covisits")

    def reading(self, compiler: Compiler) -> Reading:
        """A ring, and the neighbours of its items."""
        ring, how = compiler.ring(self.of, self.last), AGGREGATES[self.aggregate]
        return Reading(p.COVISITED, aggregate=how, arg=ring, buckets=self.last)


class QueryMatch(Declaration, frozen=True, tag="query_match"):
    """How well the candidate's texts answer the query of the decision."""

    measure: Literal["bm25", "cosine"] = "bm25"

    def check(self, checker: Checker) -> None:
        """Texts that are built."""
        checker.vectors("kind", "text")

    def reading(self, compiler: Compiler) -> Reading:
        """The terms of items and of the query."""
        return Reading(p.QUERY_MATCH, aggregate=BM25 if self.measure == "bm25" else COSINE_OF_TEXT)


class HasVector(Declaration, frozen=True, tag="has_vector"):
    """1 for a candidate that has a vector in the space, otherwise 0."""

    space: Literal["text", "behaviour", "image"]

    def check(self, checker: Checker) -> None:
        """A space that is built."""
        checker.vectors("space", self.space)

    def reading(self, compiler: Compiler) -> Reading:
        """Whether there is a vector."""
        return Reading(p.HAS_VECTOR, key=SPACES[self.space])
