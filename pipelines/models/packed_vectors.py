"""The one file of a ranker's package that only some have: the vectors that its features are computed from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import FeatureError, ModelError
from pipelines.features.vectors import Vectors
from pipelines.models.sealed import VECTORS


def needs_vectors(definitions: str) -> bool:
    """Whether definitions, as JSON, have features of vectors."""
    return "vectors" in json.loads(definitions)


def packed_vectors(definitions: str, vectors: Vectors | None) -> tuple[dict[str, bytes], dict[str, str]]:
    """(files, entries of the manifest) of a ranker's vectors; empty where its features need none.

    Raises ModelError when the features need vectors and none are given, or the other way round.
    """
    if needs_vectors(definitions) != (vectors is not None):
        raise ModelError(
            "features of vectors cannot be computed without them: give those that the rows were made with"
            if vectors is None
            else "the features need no vectors, and the package would carry some"
        )
    if vectors is None:
        return {}, {}
    return {VECTORS: vectors.to_bytes()}, {"vectors_version": vectors.version}


def unpacked_vectors(folder: Path, about: Mapping[str, Any], files: Mapping[str, bytes]) -> Vectors | None:
    """The vectors among a package's verified files; None where its features need none. Raises ModelError for
    others than the manifest names."""
    if needs_vectors(files["definitions.json"].decode()) != (VECTORS in files):
        raise ModelError(
            f"{folder / VECTORS} is {'foreign to' if VECTORS in files else 'missing for'} this ranker's "
            "features: download the model again"
        )
    if VECTORS not in files:
        return None
    try:
        vectors = Vectors.from_bytes(files[VECTORS])
    except FeatureError as problem:
        raise ModelError(f"{folder / VECTORS}: {problem}") from None
    if vectors.version != about.get("vectors_version"):
        raise ModelError(
            f"{folder / VECTORS} holds the vectors {vectors.version}, the ranker was trained with "
            f"{about.get('vectors_version')}: train again"
        )
    return vectors
